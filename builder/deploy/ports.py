"""The doors of `deploy` in our words: topic, function, who may invoke it, schedule; image tags and builds.

The Google implementations stand in builder/gcp/, one file per service. Every method raises CallFailed when Google refuses or
cannot be reached; transient faults were already retried behind the door, within a budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from builder.model import JsonObject
from builder.ports import Clock, Project


@dataclass(frozen=True)
class TopicState:
    """A Pub/Sub topic that exists, with its subscriptions by their last names."""

    labels: Mapping[str, str]
    subscriptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionConfig:
    """What a function is, beside its code. Accounts are addresses; `topic` is `projects/P/topics/T`.

    `memory` as Google writes it (256Mi); `retry` is a RETRY_POLICY_… and `ingress` an ALLOW_…; `timeout` in seconds.
    """

    runtime: str
    entry_point: str
    build_account: str
    account: str
    memory: str
    timeout: int
    instances: int  # at most
    concurrency: int  # requests at once, per instance
    ingress: str
    environment: Mapping[str, str]
    topic: str
    trigger_account: str
    retry: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class FunctionState:
    """A function as Google tells it. `service` is its Cloud Run service, `trigger` Eventarc's last name; "" before there is one.

    `state` is Google's name for it; one that the library does not know is its number. `problems` are its messages of severity ERROR.
    """

    path: str
    config: FunctionConfig
    state: str
    service: str
    problems: tuple[str, ...] = ()
    trigger: str = ""


@dataclass(frozen=True)
class UploadedSource:
    """Where Google keeps a source that was uploaded; given back as it came."""

    bucket: str
    object: str
    generation: int
    upload_url: str = ""


@dataclass(frozen=True)
class FunctionOperation:
    """A deployment of a function. `code` is a google.rpc.Code, 0 while it runs and where it went well."""

    name: str
    done: bool
    code: int = 0
    message: str = ""
    log_url: str = ""  # of the function's build, as soon as there is one


@dataclass(frozen=True)
class Policy:
    """Who may do what with a Cloud Run service: bindings as the API has them, and the etag they were read with."""

    bindings: tuple[JsonObject, ...]
    etag: str


@dataclass(frozen=True)
class JobConfig:
    """What a Cloud Scheduler job is: `topic` is `projects/P/topics/T`, `data` what it publishes there.

    `retries`: how often publishing is tried again (0 to 5); Google's own default of 0 loses that run.
    """

    cron: str
    time_zone: str
    topic: str
    data: bytes
    description: str
    attributes: Mapping[str, str]
    retries: int


@dataclass(frozen=True)
class JobState:
    """A job as Google tells it. `target` says whom it calls; the config's topic and data are empty unless that is Pub/Sub.

    `attempted`: when it published last (RFC 3339), "" if never; `failure`: why that failed, "" if it did not.
    """

    path: str
    config: JobConfig
    target: Literal["pubsub", "http", "app engine"]
    state: str
    attempted: str = ""
    failure: str = ""


@dataclass(frozen=True)
class BuildState:
    """A build of Cloud Build: when it was created (RFC 3339), the commit it was made from, None where it tells none, its status."""

    id: str
    created: str
    commit: str | None
    status: str


class Topics(Protocol):
    """Pub/Sub's topics, by their paths `projects/P/topics/T`."""

    def get(self, topic: str) -> TopicState | None:
        """The topic, and who hears it; None if there is none."""

    def create(self, topic: str, labels: Mapping[str, str]) -> None:
        """Make it. CallFailed with status 409 if it is there: perhaps by an earlier try whose reply was lost."""

    def delete(self, topic: str) -> bool:
        """Remove it; False if it was not there."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message and return its id. A reply that was lost may make it two."""


class Functions(Protocol):
    """Cloud Functions of the second generation, by their paths `projects/P/locations/L/functions/F`."""

    def get(self, path: str) -> FunctionState | None:
        """The function, whatever its state; None if there is none."""

    def upload(self, location: str, content: bytes) -> UploadedSource:
        """Upload a zip with a function's source to `projects/P/locations/L`."""

    def create(self, path: str, config: FunctionConfig, source: UploadedSource) -> FunctionOperation:
        """Ask for a function. Where there is one of that name, the *operation* fails (code 6)."""

    def update(
        self, path: str, config: FunctionConfig, source: UploadedSource | None, *, mask: Sequence[str]
    ) -> FunctionOperation:
        """Ask for a change of what the mask names, as `build_config.source`; `source` where that is in it."""

    def delete(self, path: str) -> FunctionOperation | None:
        """Ask for a function's end; None if there is none."""

    def operation(self, name: str) -> FunctionOperation:
        """How a deployment stands."""


class Services(Protocol):
    """The access policies of Cloud Run services, by their paths `projects/P/locations/L/services/S`."""

    def policy(self, service: str) -> Policy | None:
        """The service's policy; None if there is no such service."""

    def set_policy(self, service: str, policy: Policy) -> None:
        """Write a policy over exactly the one with this etag; CallFailed with status 409 or 412 over another."""


class Schedules(Protocol):
    """Cloud Scheduler's jobs, by their paths `projects/P/locations/L/jobs/J`."""

    def get(self, path: str) -> JobState | None:
        """The job; None if there is none."""

    def create(self, path: str, config: JobConfig) -> None:
        """Make it. CallFailed with status 409 if it is there: perhaps by an earlier try whose reply was lost."""

    def update(self, path: str, config: JobConfig, *, mask: Sequence[str]) -> None:
        """Change what the mask names, as `time_zone` or `pubsub_target.data`. CallFailed with status 404 if it is not there."""

    def delete(self, path: str) -> bool:
        """Remove it; False if it was not there."""


class Registry(Protocol):
    """Artifact Registry's tags, and the versions that they mean."""

    def digest(self, package: str, tag: str) -> str | None:
        """`sha256:…` of a tag of `projects/P/locations/L/repositories/R/packages/NAME`; None if there is no such tag."""

    def pushed(self, package: str, digest: str) -> str | None:
        """When a version was first pushed (RFC 3339); None if there is none with this digest."""


class Builds(Protocol):
    """Cloud Build, as far as deploying asks about the build it is part of."""

    def get(self, build: str, region: str) -> BuildState | None:
        """A build by its id and region (or "global"); None if there is none."""

    def newest(self, tag: str, region: str) -> BuildState | None:
        """The newest build with this tag; None if there is none."""

    def now(self, region: str) -> str:
        """The time, RFC 3339, as Cloud Build's own answers tell it."""


@dataclass(frozen=True)
class Doors:
    """All that deploying goes through; `project` tells who we are, for refusals."""

    topics: Topics
    functions: Functions
    services: Services
    schedules: Schedules
    registry: Registry
    builds: Builds
    project: Project
    clock: Clock
