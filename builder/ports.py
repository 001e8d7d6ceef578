"""The doors to the outside, in our words: what the builder asks of Cloud Storage, Compute Engine and a clock.

The Google implementations stand in builder/gcp/. Every method raises CallFailed when Google refuses or cannot be
reached; transient faults were already retried behind the door, within a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from builder.model import JsonObject, Listed


@dataclass(frozen=True)
class BuildTime:
    """A running build's own timeout, and what is left of it by Cloud Build's clock; both in seconds."""

    timeout: float
    left: float


class CallFailed(Exception):
    """A call to Google that ended without an answer we can use."""

    def __init__(
        self,
        *,
        call: str,
        resource: str,
        code: str,
        message: str,
        http_status: int | None = None,
        transient: bool = False,
        repeated: bool = False,
    ) -> None:
        super().__init__(f"{call} on {resource}: {message} [{code}]")
        self.call = call
        self.resource = resource
        self.code = code
        self.message = message
        self.http_status = http_status
        self.transient = transient
        self.repeated = repeated  # an earlier try of this call was lost, and may have had its effect


@dataclass(frozen=True)
class OperationError:
    """One entry of a Compute operation's `error.errors`."""

    code: str
    message: str


@dataclass(frozen=True)
class Operation:
    """A zone operation. Done with errors is a failure, whatever its HTTP fields say (docs/facts.md 1.7)."""

    name: str
    done: bool
    errors: tuple[OperationError, ...] = ()


@dataclass(frozen=True)
class Instance:
    """A VM as Compute Engine tells it. Times are RFC 3339 text, durations seconds."""

    name: str
    zone: str
    id: int
    status: str
    labels: Mapping[str, str]
    metadata: Mapping[str, str]
    created: str
    max_run_seconds: int | None
    terminates: str


@dataclass(frozen=True)
class Image:
    """An exact image: its `projects/…/global/images/…` path, its family, and what a disk made from it needs."""

    path: str
    family: str
    disk_gb: int
    deprecated: bool
    uefi: bool  # what a virtual TPM and integrity monitoring need
    obsolete: bool = False  # no VM can be made from it any more


@dataclass(frozen=True)
class MachineType:
    """A machine type as one zone has it; `gpus` is what is built in, count by accelerator type."""

    name: str
    cpus: int
    gpus: Mapping[str, int]


@dataclass(frozen=True)
class Quota:
    """A limit and how much of it is in use, in the metric's own unit."""

    limit: float
    usage: float

    @property
    def left(self) -> float:
        """What can still be had."""
        return max(0.0, self.limit - self.usage)


@dataclass(frozen=True)
class Quotas:
    """Quotas by Compute Engine's metric names; a metric that is not there is one that Google does not tell of."""

    by_metric: Mapping[str, Quota]


@dataclass(frozen=True)
class Region:
    """A region: its zones' names, sorted, and its quotas."""

    zones: tuple[str, ...]
    quotas: Quotas


@dataclass(frozen=True)
class Network:
    """A VPC network; `auto` says that Compute Engine finds a VM's subnetwork by itself. Subnetworks are names by region."""

    auto: bool
    subnetworks: Mapping[str, str]


@dataclass(frozen=True)
class Subnetwork:
    """A subnetwork: its network's name, and whether VMs without an external address reach Google's APIs from it."""

    network: str
    private_google_access: bool


@dataclass(frozen=True)
class BucketSettings:
    """A bucket's location, as Google writes it (US-CENTRAL1), and whether IAM alone decides about its objects."""

    location: str
    uniform_access: bool


@dataclass(frozen=True)
class ServiceAccount:
    """A service account that exists."""

    email: str
    disabled: bool


@dataclass(frozen=True)
class SerialOutput:
    """A piece of serial port 1: where it starts (later than asked: bytes were lost) and where the next begins."""

    text: str
    start: int
    next: int


class Clock(Protocol):
    """Time as the builder sees it: a monotonic reading in seconds, and a sleep that a cancellation ends."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted when the run is cancelled meanwhile."""


class ObjectStore(Protocol):
    """One bucket of Cloud Storage."""

    bucket: str

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        """Write an object that must not exist yet; None if another one stands there.

        A reply that was lost after the write counts as success: the object is read back and compared.
        """

    def replace(self, name: str, content: bytes, *, content_type: str) -> Listed:
        """Write an object, whatever stood there."""

    def swap(self, name: str, content: bytes, *, generation: int, content_type: str) -> Listed | None:
        """Write an object over exactly this generation; None if another one stands there, or none.

        A lost reply is treated as by `create`: equal bytes mean that it was us.
        """

    def read(self, name: str, *, generation: int | None = None) -> bytes | None:
        """The object's bytes, their checksum verified; None if it is not there."""

    def read_newer(self, name: str, generation: int) -> tuple[bytes, int] | None:
        """Bytes and generation, if the object's generation is another one than this; None if same or missing."""

    def stat(self, name: str) -> Listed | None:
        """Size, checksum and generation; None if it is not there."""

    def list(self, prefix: str) -> Sequence[Listed]:
        """All objects whose names begin with the prefix, in order of name."""

    def copy(self, source: Listed, target: str, *, over: int) -> Listed | None:
        """Rewrite exactly this generation to another name, inside the bucket and without a download.

        What stands there has to be of the generation `over` (0: nothing); None if it is not, a lost reply treated as by `swap`.
        """

    def delete(self, name: str, *, generation: int | None = None) -> bool:
        """Remove an object; False if it was not there."""


class Messages(Protocol):
    """The part of Pub/Sub that a run uses."""

    def publish(self, topic: str, data: bytes) -> str:
        """Publish one message to `projects/P/topics/T` and return its id. A reply that was lost may make it two."""


TypeKind = Literal["machineTypes", "acceleratorTypes"]  # Compute Engine's collections


class Machines(Protocol):
    """The part of Compute Engine that the builder uses, in one project."""

    project: str

    def image_of_family(self, project: str, family: str) -> Image:
        """The family's newest image that is not deprecated."""

    def image(self, path: str) -> Image:
        """An image by its exact `projects/…/global/images/…` path."""

    def zones(self, region: str) -> Sequence[str]:
        """The names of a region's zones, sorted."""

    def zones_with(self, kind: TypeKind, name: str) -> Sequence[str]:
        """The zones, in order of name, that offer a machine type or accelerator type of this name."""

    def type_names(self, kind: TypeKind, zone: str) -> Sequence[str]:
        """The names of all machine types or accelerator types of a zone."""

    def insert(
        self, zone: str, body: JsonObject, *, request_id: str, permit: Callable[[], None] = lambda: None
    ) -> Operation:
        """Ask for a VM. The same request id asks for the same VM, so that a lost reply can be repeated.

        `permit` is asked before each try; what it raises ends the tries.
        """

    def delete(self, zone: str, name: str, *, request_id: str) -> Operation | None:
        """Ask for a VM's end; None if there is none of that name."""

    def operation(self, zone: str, name: str) -> Operation:
        """Wait for an operation for a while (two minutes at the most) and tell how it stands."""

    def get(self, zone: str, name: str) -> Instance | None:
        """The VM, or None if it does not exist."""

    def ours(self) -> Sequence[Instance]:
        """Every VM of the project, in any zone, that carries this tool's label."""

    def cause_of_end(self, zone: str, name: str) -> str:
        """Why Compute Engine ended a VM of its own accord: "preempted", "hostError", or "" where it says nothing."""

    def serial(self, zone: str, name: str, start: int) -> SerialOutput | None:
        """Serial port 1 from a byte offset; None when it cannot be read (any more)."""

    def now(self) -> float:
        """Seconds since the epoch as Compute Engine's own answers tell them."""


class Catalog(Protocol):
    """What Compute Engine offers to one project; read only, and asked before a run."""

    project: str

    def region(self, name: str) -> Region:
        """A region's zones and quotas."""

    def quotas(self) -> Quotas:
        """The project's global quotas."""

    def machine_type(self, zone: str, name: str) -> MachineType:
        """A machine type in a zone."""

    def accelerator_type(self, zone: str, name: str) -> str:
        """What an accelerator type of a zone is, in Google's words."""

    def network(self, project: str, name: str) -> Network:
        """A VPC network of a project."""

    def subnetwork(self, project: str, region: str, name: str) -> Subnetwork:
        """A subnetwork of a project."""

    def image_families(self, project: str) -> Sequence[str]:
        """The families of a project's images that are not deprecated, sorted."""


class Project(Protocol):
    """Who we are, and what we may do in a project and with its service accounts."""

    def caller(self) -> str:
        """The address of the account that we are; "" where the credentials do not tell."""

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that we have in the project."""

    def service_account(self, email: str) -> ServiceAccount:
        """A service account."""

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that we have on a service account."""


class Bucket(Protocol):
    """A bucket as a whole."""

    bucket: str

    def settings(self) -> BucketSettings:
        """Where it is, and how access to it is decided."""

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that we have on it."""
