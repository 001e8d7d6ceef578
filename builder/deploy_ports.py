"""The Protocols of `deploy`: topics, functions, access policies, schedules, image tags and builds.

The implementations are in builder/gcp/, one file per service. Every method raises CallFailed if Google refuses or
cannot be reached, after the implementation has retried transient faults within a budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from builder.model import JsonObject
from builder.ports import Clock, Project


@dataclass(frozen=True)
class TopicState:
    """An existing Pub/Sub topic, and the IDs of its subscriptions."""

    labels: Mapping[str, str]
    subscriptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionConfig:
    """The settings of a function, without its code. Accounts are addresses; `topic` is `projects/P/topics/T`.

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
    """An existing function.

    `service` is its Cloud Run service and `trigger` the ID of its Eventarc trigger; "" before they exist.

    `state` is Google's name, or a number that the library does not know. `problems` are its messages of severity
    ERROR.
    """

    path: str
    config: FunctionConfig
    state: str
    service: str
    problems: tuple[str, ...] = ()
    trigger: str = ""


# Google's description of an uploaded source, which goes back to Google unchanged.
UploadedSource: TypeAlias = object


@dataclass(frozen=True)
class FunctionOperation:
    """A deployment of a function. `code` is a google.rpc.Code: 0 while it runs, and after success."""

    name: str
    done: bool
    code: int = 0
    message: str = ""
    log_url: str = ""  # of the function's build, as soon as there is one


@dataclass(frozen=True)
class Policy:
    """The access policy of a Cloud Run service: bindings in the form of the API, and their etag."""

    bindings: tuple[JsonObject, ...]
    etag: str


@dataclass(frozen=True)
class JobConfig:
    """The settings of a Cloud Scheduler job: `topic` is `projects/P/topics/T`, `data` the bytes that it publishes.

    `retries`: the number of further tries to publish (0 to 5); with Google's default of 0 a failure loses that run.
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
    """An existing Cloud Scheduler job. The topic and data of `config` are empty unless `target` is Pub/Sub.

    `attempted`: the time of the last publication (RFC 3339), "" if never; `failure`: the reason why it failed, or "".
    `next`: the time of the next publication (RFC 3339), "" if Cloud Scheduler has planned none.
    """

    path: str
    config: JobConfig
    target: Literal["pubsub", "http", "app engine"]
    state: str
    attempted: str = ""
    failure: str = ""
    next: str = ""


@dataclass(frozen=True)
class BuildState:
    """A build: creation time (RFC 3339), commit (None if unknown), status, and the images of its steps."""

    id: str
    created: str
    commit: str | None
    status: str
    images: frozenset[str]

    @property
    def ended(self) -> bool:
        """False if it waits or runs."""
        return self.status not in {"PENDING", "QUEUED", "WORKING"}


class Topics(Protocol):
    """Pub/Sub's topics, by their paths `projects/P/topics/T`."""

    def get(self, topic: str) -> TopicState | None:
        """The topic and its subscriptions; None if it does not exist."""

    def create(self, topic: str, labels: Mapping[str, str]) -> None:
        """Create it.

        Raises CallFailed with status 409 if it exists, perhaps from an earlier try whose reply was lost.
        """

    def delete(self, topic: str) -> bool:
        """Delete it; False if it did not exist."""

    def publish(self, topic: str, data: bytes) -> None:
        """Publish one message. After a lost reply, the message may be published twice."""


class Functions(Protocol):
    """Cloud Functions of the second generation, by their paths `projects/P/locations/L/functions/F`."""

    def get(self, path: str) -> FunctionState | None:
        """The function in any state; None if it does not exist."""

    def upload(self, location: str, content: bytes) -> UploadedSource:
        """Upload a zip with a function's source to `projects/P/locations/L`."""

    def create(self, path: str, config: FunctionConfig, source: UploadedSource) -> FunctionOperation:
        """Begin to create a function. If one of that name exists, the *operation* fails (code 6)."""

    def update(
        self, path: str, config: FunctionConfig, source: UploadedSource | None, *, mask: Sequence[str]
    ) -> FunctionOperation:
        """Begin to update the paths of the mask. `source` is given if the mask has `build_config.source`."""

    def delete(self, path: str) -> FunctionOperation | None:
        """Begin to delete a function; None if it does not exist."""

    def operation(self, name: str) -> FunctionOperation:
        """The state of a deployment."""


class Services(Protocol):
    """The access policies of Cloud Run services, by their paths `projects/P/locations/L/services/S`."""

    def policy(self, service: str) -> Policy | None:
        """The service's policy; None if the service does not exist."""

    def set_policy(self, service: str, policy: Policy) -> None:
        """Replace the policy that has this etag.

        Raises CallFailed with status 409 or 412 if the current etag is another one.
        """


class Schedules(Protocol):
    """Cloud Scheduler's jobs, by their paths `projects/P/locations/L/jobs/J`."""

    def get(self, path: str) -> JobState | None:
        """The job; None if it does not exist."""

    def create(self, path: str, config: JobConfig) -> None:
        """Create it.

        Raises CallFailed with status 409 if it exists, perhaps from an earlier try whose reply was lost.
        """

    def update(self, path: str, config: JobConfig, *, mask: Sequence[str]) -> None:
        """Update the paths of the mask, such as `pubsub_target.data`.

        Raises CallFailed with status 404 if the job does not exist.
        """

    def delete(self, path: str) -> bool:
        """Delete it; False if it did not exist."""


class Registry(Protocol):
    """Artifact Registry's tags and versions."""

    def digest(self, package: str, tag: str) -> str | None:
        """`sha256:…` of a tag of `projects/P/locations/L/repositories/R/packages/NAME`; None if it does not exist."""

    def pushed(self, package: str, digest: str) -> str | None:
        """The time of a version's first push (RFC 3339); None if no version has this digest."""


class Builds(Protocol):
    """The builds of Cloud Build, and its clock."""

    def get(self, build: str, region: str) -> BuildState | None:
        """The build with this ID in a region (or "global"); None if it does not exist."""

    def newest(self, tags: Sequence[str], region: str) -> BuildState | None:
        """The newest build that has all of these tags; None if there is none."""

    def count(self, tag: str, region: str, *, since: datetime, limit: int) -> int:
        """The number of builds with this tag that were created after `since`; the count ends at `limit`."""

    def now(self, region: str) -> str:
        """The time (RFC 3339) in the answers of Cloud Build."""


@dataclass(frozen=True)
class Clients:
    """The clients that a deployment needs. `project` knows the caller, whom refusals name."""

    topics: Topics
    functions: Functions
    services: Services
    schedules: Schedules
    registry: Registry
    builds: Builds
    project: Project
    clock: Clock
