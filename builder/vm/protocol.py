"""The documents that builder and VM exchange, as values: the VM's metadata, job.json, heartbeat.json, evidence.json.

Both sides import this module, and the kit carries it; it needs the standard library only. The bootstrap, which runs
before the VM has the kit, reads the metadata and writes a kit request by hand. `SCHEMA` changes whenever a document
does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

from builder.strict_json import JsonObject, UnreadableJson, read_document
from builder.vm import codec
from builder.vm.codec import ProtocolError, digits_form, text_form

SCHEMA = 1
HEARTBEAT = "heartbeat.json"  # object names below the attempt's prefix
EVIDENCE = "evidence.json"
# The builder reads no more of what a VM wrote. A log's chunk has at most 256 KiB, evidence some 200 bytes for each
# output.
MAX_HEARTBEAT_BYTES = 2**16
MAX_EVIDENCE_BYTES = 16 * 2**20
MAX_CHUNK_BYTES = 2**20
HEARTBEAT_SECONDS = 2
# Phases of the heartbeat after which evidence follows. PREEMPTED is also a fault's reason, and Compute Engine's word.
UPLOAD, DONE, PREEMPTED = "upload", "done", "preempted"
KIT = "kit"  # the phase of a kit request
# Exit status of the runner: the builder's lease has expired, so the VM must end itself. The bootstrap has the same
# constant.
ABANDONED = 75
# Exit code of papermill's process after nbclient's DeadKernelError.
DEAD_KERNEL = 138

_CRC32C_BYTES = 4
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def log_chunk(number: int) -> str:
    """Return the name of a chunk of the log, from 1, below the attempt's prefix."""
    return f"log/{number:06}.txt"


def _is_relative(name: str) -> bool:
    return not {"", ".", ".."} & set(name.split("/"))


def _is_crc32c(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _CRC32C_BYTES
    except (binascii.Error, ValueError):
        return False


Sha256 = Annotated[str, text_form("a SHA-256 in hex", _SHA256_HEX.fullmatch)]
Crc32c = Annotated[str, text_form("a CRC32C, four bytes in base64", _is_crc32c)]
ObjectName = Annotated[str, text_form("a name relative to the attempt", _is_relative)]
Generation = Annotated[int, digits_form("a generation in decimal digits", 19)]
SecretVersion = Annotated[int, digits_form("a version in decimal digits", 10)]
ExitCode = Annotated[int, codec.SIGNED]  # negative after a signal


@dataclass(frozen=True, kw_only=True)
class _Document:
    """A JSON object in Cloud Storage or in the VM's metadata. `NAME` begins each error about it."""

    NAME: ClassVar[str]
    MAX_BYTES: ClassVar[int] = 32 * 2**20

    def document(self) -> JsonObject:
        """Return the document as `json.dumps` takes it."""
        return {"schema": SCHEMA, **codec.encode(type(self), self)}

    def encode(self) -> bytes:
        """Return the document as it is stored."""
        return json.dumps(self.document(), sort_keys=True).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the document in these bytes. Raises `ProtocolError`."""
        return cls._of(_read(raw, cls.NAME, cls.MAX_BYTES))

    @classmethod
    def _of(cls, value: JsonObject) -> Self:
        found: Self = codec.decode(cls, value, f"{cls.NAME}: ")
        return found


def _read(raw: bytes, name: str, most: int) -> JsonObject:
    """Return the JSON object in `raw`, whose schema is ours."""
    if len(raw) > most:
        raise ProtocolError(f"{name}: more than the {most} bytes that are read")
    try:
        return read_document(raw, SCHEMA)
    except UnreadableJson as error:
        raise ProtocolError(f"{name}: {error}") from error


# -- from the builder to the VM: metadata and job.json --------------------------------------------------------


@dataclass(frozen=True)
class StagedObject:
    """An object that the builder stages, and the hash that its bytes must have."""

    object: str
    sha256: str


@dataclass(frozen=True)
class StagedWorkspace(StagedObject):
    """The archive of the job's files; `size` in bytes."""

    size: int


@dataclass(frozen=True)
class LeaseTerms:
    """The object that a living builder renews, and the age in seconds at which the lease expires."""

    object: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class JobMetadata(_Document):
    """The metadata value `nb-job`: all that the bootstrap and the runner need to find and run the job.

    Times are seconds.

    `kits` has the kit's archives by name, such as "cp311" and "uv".
    """

    NAME = "nb-job"

    storage_endpoint: str
    compute_endpoint: str
    secretmanager_endpoint: str
    bucket: str
    kits: Mapping[str, StagedObject]
    job: StagedObject
    attempt_prefix: str
    run: str
    job_id: str
    attempt: int
    nonce: str
    boot_timeout: float
    run_limit: float
    max_run_duration: float
    lease: LeaseTerms


@dataclass(frozen=True)
class SetupStep:
    """The set-up script, a path in the workspace, and its limit in seconds."""

    path: str
    timeout: float


@dataclass(frozen=True)
class RequirementLine:
    """One line (from 1) of a requirements file; `name` is the project's normalized name, "" for a path or URL."""

    name: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line} ({self.text})"


@dataclass(frozen=True)
class RequirementsStep:
    """The requirements file, a path in the workspace, with its limit in seconds, index (None: uv's own), and lines.

    `frozen` lists what a proven run installed, as name==version, to be installed again. None: no run has proven the
    job.
    """

    path: str
    timeout: float
    index_url: str | None
    require_hashes: bool
    lines: tuple[RequirementLine, ...]
    frozen: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CaBundle:
    """A file of certificates: a path in the workspace (`bucket` is None), or an object's name."""

    name: str
    bucket: str | None = None

    def __str__(self) -> str:
        return self.name if self.bucket is None else f"gs://{self.bucket}/{self.name}"


@dataclass(frozen=True)
class ExpectedGpus:
    """The GPUs that the VM must see: their type, or the machine type that has them built in, and their number."""

    type: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Job(_Document):
    """job.json: one notebook, its inputs, and its limits in seconds.

    `secrets` has resource names by variable, no values.
    """

    NAME = "job.json"

    run: str
    job: str
    notebook: str
    name: str
    workspace: StagedWorkspace
    parameters: StagedObject | None
    notebook_sha256: str
    kernel: str | None
    timeout: float
    cell_timeout: float | None
    accelerator: ExpectedGpus | None
    heartbeat_seconds: float
    env: Mapping[str, str] = field(default_factory=dict)
    setup: SetupStep | None = None
    requirements: RequirementsStep | None = None
    ca_bundle: CaBundle | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)


# -- from the VM to the builder: heartbeat.json and evidence.json ---------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Heartbeat(_Document):
    """heartbeat.json: the runner's progress, written every few seconds. It carries the nonce's hash, not the nonce."""

    NAME = HEARTBEAT
    MAX_BYTES = MAX_HEARTBEAT_BYTES

    nonce_sha256: str
    attempt: int
    counter: int
    phase: str
    cell: int
    cells: int
    log_chunks: int


@dataclass(frozen=True, kw_only=True)
class KitRequest(_Document):
    """heartbeat.json as the bootstrap writes it where the kit of its CPython ("cp311") is not in the bucket."""

    NAME = HEARTBEAT

    nonce_sha256: str
    attempt: int
    kit: str
    phase: str = KIT


def decode_heartbeat(raw: bytes) -> Heartbeat | KitRequest:
    """Return what heartbeat.json holds. Raises `ProtocolError`."""
    value = _read(raw, HEARTBEAT, Heartbeat.MAX_BYTES)
    return KitRequest._of(value) if value.get("phase") == KIT else Heartbeat._of(value)  # noqa: SLF001 - of this module


@dataclass(frozen=True)
class Input:
    """A staged object that the VM has fetched: the hash of the bytes that it read, and the object's generation."""

    sha256: Sha256
    generation: Generation


@dataclass(frozen=True)
class NotebookInput:
    """The notebook that the VM found in the workspace."""

    sha256: Sha256


@dataclass(frozen=True)
class Inputs:
    """The inputs that the VM has read. None: the run ended before."""

    job: Input | None = None
    workspace: Input | None = None
    parameters: Input | None = None
    notebook: NotebookInput | None = None


@dataclass(frozen=True)
class PapermillEnd:
    """papermill's exit code, and its run time in seconds."""

    exit_code: ExitCode
    seconds: float


@dataclass(frozen=True)
class FaultReport:
    """The runner's own account of a failure. `cell` counts the notebook's code cells from 1."""

    reason: str
    message: str
    cell: int | None


@dataclass(frozen=True)
class Notice:
    """A failure that Jupyter lets pass: its kind as in NB_FAIL_ON, the code cell (0: papermill's), and its text."""

    kind: str
    cell: int
    message: str


@dataclass(frozen=True)
class Packages:
    """The packages of the kernel, as name==version: the image's own, and those installed for the notebook."""

    image: tuple[str, ...]
    overlay: tuple[str, ...]


@dataclass(frozen=True)
class KernelChoice:
    """The kernel that the job names, and the kernel that ran. None: not known."""

    requested: str | None
    used: str | None


@dataclass(frozen=True)
class StoredObject:
    """An object that the VM has uploaded; `name` is relative to the attempt's prefix, `size` in bytes."""

    name: ObjectName
    size: int
    crc32c: Crc32c
    generation: Generation


@dataclass(frozen=True)
class Skipped:
    """A file below outputs/ that was not uploaded, and the reason. `path` is printable."""

    path: str
    why: str


# The problems of a secret, in messages: those that Secret Manager reports, and those of a value that was read.
SECRET_REFUSALS = {
    "denied": "the VM's account lacks roles/secretmanager.secretAccessor on it, or it does not exist",
    "api_disabled": "the Secret Manager API is not enabled in its project",
    "missing": "it does not exist",
    "disabled": "this version is disabled",
    "destroyed": "this version is destroyed",
    "refused": "Secret Manager refuses it",
}
UNUSABLE_VALUES = {
    "short": "its value has fewer than 8 bytes, which is too short to redact",
    "not_text": "its value is not UTF-8 text",
    "nul": "its value contains a NUL byte, which an environment variable cannot have",
    "word": "its value is a word that every result contains (such as `metadata`), so it cannot be redacted",
}


@dataclass(frozen=True)
class SecretUse:
    """A secret that the job asks for: the version that was read, or the problem; how often its value was redacted."""

    name: str
    resource: str
    version: SecretVersion | None
    problem: str
    redactions: int


@dataclass(frozen=True)
class LogFacts:
    """The amount of the log that reached Cloud Storage."""

    chunks: int
    bytes: int
    dropped_bytes: int


@dataclass(frozen=True, kw_only=True)
class Evidence(_Document):
    """evidence.json: the facts of one attempt, written last. Sizes are bytes, times seconds.

    A VM in trouble leaves None for what it does not know. `papermill` is None if papermill was never started.
    """

    NAME = EVIDENCE
    MAX_BYTES = MAX_EVIDENCE_BYTES

    run: str
    job: str
    attempt: int
    nonce: str
    inputs: Inputs
    papermill: PapermillEnd | None
    fault: FaultReport | None
    notices: tuple[Notice, ...] = ()
    python: str | None
    packages: Packages | None = None
    kernel: KernelChoice
    executed_notebook: str | None
    objects: tuple[StoredObject, ...]
    skipped: tuple[Skipped, ...]
    secrets: tuple[SecretUse, ...]
    timings: Mapping[str, float]
    peak_memory_bytes: int | None
    disk_free_bytes: int | None
    log: LogFacts

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the evidence in these bytes. Raises `ProtocolError`, also where two objects have one name."""
        evidence = super().decode(raw)
        if len({item.name for item in evidence.objects}) != len(evidence.objects):
            raise ProtocolError(f"{EVIDENCE}: objects: expected each name once")
        return evidence
