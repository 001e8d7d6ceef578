"""The names of a deployment's resources, and the marks that identify them as its own. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from builder.deploy_ports import FunctionState, JobState, TopicState
from builder.plan.vm_spec import TOOL, TOOL_LABEL

LIVE_VARIABLE = "NB_LIVE"  # the function's variable with the address of its live.json
_LIVE_LABEL = "nb-live"
_HASH_DIGITS = 40


@dataclass(frozen=True)
class Names:
    """The names of a deployment's resources. The function and the schedule have the same name.

    `live` is the gs:// address of live.json. It identifies the deployment if another repo chooses the same names.
    """

    project: str
    region: str
    function: str
    topic: str
    live: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels that mark a topic as ours."""
        return {TOOL_LABEL: TOOL, _LIVE_LABEL: hashlib.sha256(self.live.encode()).hexdigest()[:_HASH_DIGITS]}

    @property
    def description(self) -> str:
        """The description that marks a Cloud Scheduler job as ours, in any region and for any topic."""
        return f"Notebook Builder: runs what is live by {self.live}"

    @property
    def location(self) -> str:
        """The path of the region: `projects/P/locations/R`."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def topic_path(self) -> str:
        """The path of the topic."""
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def function_path(self) -> str:
        """The path of the function."""
        return f"{self.location}/functions/{self.function}"

    @property
    def service_path(self) -> str:
        """The path of the function's Cloud Run service."""
        return f"{self.location}/services/{self.function}"

    @property
    def job_path(self) -> str:
        """The path of the Cloud Scheduler job."""
        return f"{self.location}/jobs/{self.function}"


def owner_of(function: FunctionState) -> str:
    """The gs:// address of the live.json that a function serves; "" if this tool did not create the function."""
    ours = function.config.labels.get(TOOL_LABEL) == TOOL
    return function.config.environment.get(LIVE_VARIABLE, "") if ours else ""


def is_our_function(function: FunctionState, names: Names) -> bool:
    """True if the function belongs to this deployment."""
    return owner_of(function) == names.live


def is_our_topic(topic: TopicState, names: Names) -> bool:
    """True if the topic was created for this deployment."""
    return names.labels.items() <= topic.labels.items()


def is_our_job(job: JobState, names: Names) -> bool:
    """True if the job belongs to this deployment, even if its target was changed."""
    return job.config.description == names.description
