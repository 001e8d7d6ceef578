"""The ports: Protocols for what the builder needs of Google Cloud and of a clock, and the values that they exchange.

The clients in builder/gcp/ implement them. Every method raises CallFailed if Google refuses the call or cannot be
reached; the client has already repeated calls with transient faults, within a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from builder.model import JsonObject, Listed

# Of an object that is read into memory. The documents that this project stores are smaller.
MAX_BYTES = 64 * 2**20
# The HTTP statuses of answers that may be different when the call is repeated.
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class BuildTime:
    """A running build's timeout, and how much of it is left by Cloud Build's clock, both in seconds."""

    timeout: float
    left: float


class CallFailed(Exception):
    """A call to Google, or to the forge of a pull request, that ended without a usable answer.

    `repeated`: an earlier try got no reply, and can have had its effect. `retry_after`: the seconds to wait
    before the next try, as the answer asks.
    """

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
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(f"{call} on {resource}: {message} [{code}]")
        self.call = call
        self.resource = resource
        self.code = code
        self.message = message
        self.http_status = http_status
        self.transient = transient
        self.repeated = repeated
        self.retry_after = retry_after


@dataclass(frozen=True)
class OperationError:
    """One entry of a Compute operation's `error.errors`."""

    code: str
    message: str


@dataclass(frozen=True)
class Operation:
    """A zone operation.

    It failed if it is done and has errors, even if its HTTP fields say otherwise (docs/facts.md 1.7).
    """

    name: str
    done: bool
    errors: tuple[OperationError, ...] = ()


@dataclass(frozen=True)
class Instance:
    """A VM as Compute Engine describes it. Times are RFC 3339 text, durations are seconds."""

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
    uefi: bool  # Secure Boot, a virtual TPM and integrity monitoring need it
    obsolete: bool = False  # no VM can be created from it


@dataclass(frozen=True)
class SerialOutput:
    """A piece of serial port 1.

    `start` is the offset of its first byte, later than requested if bytes were lost; `next` is that of the next piece.
    """

    text: str
    start: int
    next: int


class Clock(Protocol):
    """A monotonic clock in seconds, and a sleep that a cancellation ends."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never decreases."""

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises Interrupted when the run is cancelled meanwhile."""


class ObjectStore(Protocol):
    """One bucket of Cloud Storage."""

    bucket: str

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        """Write an object that must not exist yet; None if another one exists.

        If the reply is lost after the write, the object is read and compared: equal bytes mean success.
        """

    def replace(self, name: str, content: bytes, *, content_type: str) -> Listed:
        """Write an object, and replace one that exists."""

    def swap(self, name: str, content: bytes, *, generation: int, content_type: str) -> Listed | None:
        """Replace exactly this generation of an object; None if another generation exists, or none.

        A lost reply is treated as by `create`.
        """

    def read(self, name: str, *, generation: int | None = None, max_bytes: int = MAX_BYTES) -> bytes | None:
        """The object's bytes, with their checksum verified; None if it does not exist.

        Of a larger object than `max_bytes`, only the first `max_bytes` + 1 bytes are read, and not verified.
        """

    def read_newer(
        self, name: str, generation: int, *, max_bytes: int = MAX_BYTES
    ) -> tuple[bytes, int] | None:
        """Bytes, as `read` has them, and generation of the object.

        None if it has this generation, or does not exist.
        """

    def stat(self, name: str) -> Listed | None:
        """Size, checksum and generation of the object; None if it does not exist."""

    def list(self, prefix: str) -> Sequence[Listed]:
        """All objects whose names begin with the prefix, sorted by name."""

    def copy(self, source: Listed, target: str, *, over: int) -> Listed | None:
        """Copy exactly this generation to another name inside the bucket, without a download.

        The target must have the generation `over` (0: not exist); None if it does not. A lost reply is treated as by
        `create`.
        """

    def try_create(self, name: str) -> None:
        """Raise CallFailed if the caller may not create an object of this name. Creates nothing."""

    def delete(self, name: str, *, generation: int | None = None) -> bool:
        """Delete an object; False if it did not exist."""


TypeKind = Literal["machineTypes", "acceleratorTypes"]  # Compute Engine's collections


class Machines(Protocol):
    """The part of Compute Engine that the builder uses, in one project."""

    project: str

    @property
    def in_outage(self) -> bool:
        """True if the last call used its budget up."""

    def image_of_family(self, project: str, family: str) -> Image:
        """The family's newest image that is not deprecated."""

    def image(self, path: str) -> Image:
        """An image by its exact `projects/…/global/images/…` path."""

    def zones(self, region: str) -> Sequence[str]:
        """The names of a region's zones, sorted."""

    def zones_with(self, kind: TypeKind, name: str) -> Sequence[str]:
        """The zones that offer a machine type or accelerator type of this name, sorted."""

    def type_names(self, kind: TypeKind, zone: str) -> Sequence[str]:
        """The names of all machine types or accelerator types of a zone."""

    def insert(
        self, zone: str, body: JsonObject, *, request_id: str, before_try: Callable[[], None] = lambda: None
    ) -> Operation:
        """Ask for a VM. The same request id asks for the same VM, so that the call can be repeated after a lost reply.

        `before_try` is called before each try; what it raises ends the tries.
        """

    def delete(self, zone: str, name: str, *, request_id: str) -> Operation | None:
        """Ask for a VM's deletion; None if it does not exist."""

    def operation(self, zone: str, name: str) -> Operation:
        """Wait up to two minutes for an operation. Returns its state."""

    def get(self, zone: str, name: str) -> Instance | None:
        """The VM; None if it does not exist."""

    def ours(self) -> Sequence[Instance]:
        """Every VM of the project, in any zone, that has this tool's label."""

    def cause_of_end(self, zone: str, name: str) -> str:
        """Return why Compute Engine ended a VM by itself: "preempted", "hostError", or "" if it does not say."""

    def serial(self, zone: str, name: str, start: int) -> SerialOutput | None:
        """Serial port 1 from a byte offset; None if it cannot be read, or no longer."""

    def has_private_access(self, project: str, region: str, subnetwork: str) -> bool:
        """True if a subnetwork's VMs without an external address reach Google's APIs by Private Google Access."""

    def now(self) -> float:
        """Seconds since the epoch, by the time in Compute Engine's answers."""


class Project(Protocol):
    """The caller, and its permissions in a project and on its service accounts."""

    def caller(self) -> str:
        """The address of the caller's account; "" if the credentials do not say it."""

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that the caller has in the project."""

    def service_account_disabled(self, email: str) -> bool:
        """True if a service account is disabled; CallFailed with status 404 if it does not exist."""

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that the caller has on a service account."""
