"""What a deployment's resources are called, and how its own are told from everybody else's. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from builder.deploy.ports import FunctionState, JobState, TopicState
from builder.plan.vm_spec import TOOL, TOOL_LABEL

LIVE_VARIABLE = "NB_LIVE"  # of the function: which live.json it serves
_LIVE_LABEL = "nb-live"
_HASH_DIGITS = 40


@dataclass(frozen=True)
class Names:
    """What a deployment's resources are called; function and schedule have one name.

    `live` is live.json's gs:// address, by which resources are told from those of another repo that has the same names.
    """

    project: str
    region: str
    function: str
    topic: str
    live: str

    @property
    def labels(self) -> dict[str, str]:
        """What marks a topic as ours."""
        return {TOOL_LABEL: TOOL, _LIVE_LABEL: hashlib.sha256(self.live.encode()).hexdigest()[:_HASH_DIGITS]}

    @property
    def description(self) -> str:
        """What marks a job as ours; the same for every topic and region."""
        return f"Notebook Builder: runs what is live by {self.live}"

    @property
    def location(self) -> str:
        """Where function and schedule are."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def topic_path(self) -> str:
        """The topic."""
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def function_path(self) -> str:
        """The function."""
        return f"{self.location}/functions/{self.function}"

    @property
    def service_path(self) -> str:
        """The function's Cloud Run service."""
        return f"{self.location}/services/{self.function}"

    @property
    def job_path(self) -> str:
        """The schedule."""
        return f"{self.location}/jobs/{self.function}"


def owner_of(function: FunctionState) -> str:
    """The live.json that a function of this tool serves, as a gs:// address; "" for a function of somebody else."""
    ours = function.config.labels.get(TOOL_LABEL) == TOOL
    return function.config.environment.get(LIVE_VARIABLE, "") if ours else ""


def is_our_function(function: FunctionState, names: Names) -> bool:
    """Whether a function is this deployment's."""
    return owner_of(function) == names.live


def is_our_topic(topic: TopicState, names: Names) -> bool:
    """Whether a topic was made for this deployment."""
    return names.labels.items() <= topic.labels.items()


def is_our_job(job: JobState, names: Names) -> bool:
    """Whether a job is this deployment's, whatever it calls by now."""
    return job.config.description == names.description
