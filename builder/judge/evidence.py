"""Parses evidence.json, the facts a VM leaves about its attempt. Strict: what is not as agreed is an EvidenceError."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from builder.model import JsonObject, Listed
from builder.stored_json import UnreadableJson, read_object

SCHEMA = 1
MAX_EVIDENCE_BYTES = 32 * 2**20

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GENERATION = re.compile(r"[0-9]{1,19}")
_VERSION = re.compile(r"[0-9]{1,10}")
_FOREVER = 10**12  # seconds; also keeps float() from overflowing
_OUTSIDE = frozenset({"", ".", ".."})


class EvidenceError(ValueError):
    """The evidence is not in the agreed form; the text names the field."""


@dataclass(frozen=True)
class Input:
    """What the VM fetched of one staged object: the hash of the bytes it read, and the object's generation."""

    sha256: str
    generation: int


@dataclass(frozen=True)
class Inputs:
    """What the VM worked on. None: it never got that far."""

    job: Input | None
    workspace: Input | None
    parameters: Input | None
    notebook_sha256: str | None


@dataclass(frozen=True)
class Papermill:
    """How papermill ended: its exit code and how long it took."""

    exit_code: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """What the runner itself says went wrong. `cell` counts the notebook's code cells from 1."""

    reason: str
    message: str
    cell: int | None


@dataclass(frozen=True)
class Skipped:
    """A file below outputs/ that was not uploaded, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class SecretUse:
    """A secret that the job asked for: the version that was read, or the problem; how often its value was taken out."""

    name: str
    resource: str
    version: int | None
    problem: str
    redactions: int


@dataclass(frozen=True)
class LogFacts:
    """How much of the log reached Cloud Storage."""

    chunks: int
    bytes: int
    dropped_bytes: int


@dataclass(frozen=True)
class Packages:
    """What the kernel could import, each as name==version: the image's own, and what was added for this notebook."""

    image: tuple[str, ...]
    overlay: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """evidence.json as a value. `papermill` is None when papermill was never started; sizes are bytes, times seconds."""

    run: str
    job: str
    attempt: int
    nonce: str
    inputs: Inputs
    papermill: Papermill | None
    fault: Fault | None
    python: str | None
    packages: Packages | None
    kernel_requested: str | None
    kernel_used: str | None
    executed_notebook: str | None
    objects: tuple[Listed, ...]
    skipped: tuple[Skipped, ...]
    secrets: tuple[SecretUse, ...]
    timings: Mapping[str, float]
    peak_memory_bytes: int | None
    disk_free_bytes: int | None
    log: LogFacts


def parse_evidence(raw: bytes) -> Evidence:
    """The evidence in these bytes.

    Fields beyond the agreed ones are ignored. Facts that a VM in trouble cannot know may be null: `python`, the kernels,
    memory and disk, and `packages` and each of `inputs`, which may also be missing.

    Raises:
        EvidenceError: a field is missing or of a wrong type or form, a key stands twice, a number is not finite.
    """
    root = _Fields(_load(raw), "")
    if root.whole("schema") != SCHEMA:
        root.fail("schema", f"expected {SCHEMA}")
    kernel = root.object("kernel")
    log = root.object("log")
    return Evidence(
        run=root.text("run"),
        job=root.text("job"),
        attempt=root.whole("attempt"),
        nonce=root.text("nonce"),
        inputs=_inputs(root.object("inputs")),
        papermill=_papermill(root.object_or_null("papermill")),
        fault=_fault(root.object_or_null("fault")),
        python=root.text_or_null("python"),
        packages=_packages(root.object_if_any("packages")),
        kernel_requested=kernel.text_or_null("requested"),
        kernel_used=kernel.text_or_null("used"),
        executed_notebook=root.text_or_null("executed_notebook"),
        objects=_objects(root),
        skipped=tuple(Skipped(item.text("path"), item.text("why")) for item in root.objects("skipped")),
        secrets=tuple(_secret(item) for item in root.objects("secrets")),
        timings=_timings(root.object("timings")),
        peak_memory_bytes=root.whole_or_null("peak_memory_bytes"),
        disk_free_bytes=root.whole_or_null("disk_free_bytes"),
        log=LogFacts(log.whole("chunks"), log.whole("bytes"), log.whole("dropped_bytes")),
    )


class _Fields:
    """A JSON object whose fields are asked for by name and type; knows its own place for the error's text."""

    def __init__(self, value: JsonObject, place: str) -> None:
        self.value = value
        self.place = place

    def fail(self, name: str, wanted: str) -> NoReturn:
        got = repr(self.value[name])[:80] if name in self.value else "nothing"
        message = f"evidence.json: {self.place}{name}: {wanted}, got {got}"
        raise EvidenceError(message)

    def _get(self, name: str, kind: type, wanted: str) -> Any:
        value = self.value.get(name)
        if type(value) is not kind:
            self.fail(name, f"expected {wanted}")
        return value

    def is_null(self, name: str) -> bool:
        return name in self.value and self.value[name] is None

    def text(self, name: str) -> str:
        return str(self._get(name, str, "text"))

    def text_or_null(self, name: str) -> str | None:
        return None if self.is_null(name) else self.text(name)

    def whole(self, name: str) -> int:
        """A whole number that is not negative."""
        value = int(self._get(name, int, "a whole number"))
        if value < 0:
            self.fail(name, "expected no negative number")
        return value

    def whole_or_null(self, name: str) -> int | None:
        return None if self.is_null(name) else self.whole(name)

    def seconds(self, name: str) -> float:
        value = self.value.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _FOREVER:
            self.fail(name, "expected seconds")
        return float(value)

    def matching(self, name: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self.text(name)
        if not pattern.fullmatch(value):
            self.fail(name, f"expected {wanted}")
        return value

    def object(self, name: str) -> _Fields:
        return _Fields(self._get(name, dict, "an object"), f"{self.place}{name}.")

    def object_or_null(self, name: str) -> _Fields | None:
        return None if self.is_null(name) else self.object(name)

    def object_if_any(self, name: str) -> _Fields | None:
        return self.object(name) if self.value.get(name) is not None else None

    def texts(self, name: str) -> tuple[str, ...]:
        items = self._get(name, list, "a list")
        if not all(type(item) is str for item in items):
            self.fail(name, "expected texts")
        return tuple(items)

    def objects(self, name: str) -> list[_Fields]:
        items = self._get(name, list, "a list")
        for number, item in enumerate(items):
            if type(item) is not dict:
                self.fail(name, f"expected an object at [{number}]")
        return [_Fields(item, f"{self.place}{name}[{number}].") for number, item in enumerate(items)]


def _load(raw: bytes) -> JsonObject:
    if len(raw) > MAX_EVIDENCE_BYTES:
        message = f"evidence.json: {len(raw)} bytes, more than the {MAX_EVIDENCE_BYTES} that are read"
        raise EvidenceError(message)
    try:
        return read_object(raw)
    except UnreadableJson as error:
        message = f"evidence.json: {error}"
        raise EvidenceError(message) from error


def _inputs(fields: _Fields) -> Inputs:
    notebook = fields.object_if_any("notebook")
    return Inputs(
        job=_input(fields.object_if_any("job")),
        workspace=_input(fields.object_if_any("workspace")),
        parameters=_input(fields.object_if_any("parameters")),
        notebook_sha256=None
        if notebook is None
        else notebook.matching("sha256", _SHA256, "a SHA-256 in hex"),
    )


def _input(fields: _Fields | None) -> Input | None:
    if fields is None:
        return None
    return Input(fields.matching("sha256", _SHA256, "a SHA-256 in hex"), _generation(fields))


def _generation(fields: _Fields) -> int:
    return int(fields.matching("generation", _GENERATION, "a generation in decimal digits"))


def _papermill(fields: _Fields | None) -> Papermill | None:
    if fields is None:
        return None
    exit_code = fields.value.get("exit_code")
    if type(exit_code) is not int:  # negative when a signal ended it
        fields.fail("exit_code", "expected a whole number")
    return Papermill(exit_code, fields.seconds("seconds"))


def _fault(fields: _Fields | None) -> Fault | None:
    if fields is None:
        return None
    return Fault(fields.text("reason"), fields.text("message"), fields.whole_or_null("cell"))


def _packages(fields: _Fields | None) -> Packages | None:
    return None if fields is None else Packages(fields.texts("image"), fields.texts("overlay"))


def _secret(fields: _Fields) -> SecretUse:
    version = None if fields.is_null("version") else int(fields.matching("version", _VERSION, "a version"))
    return SecretUse(
        fields.text("name"),
        fields.text("resource"),
        version,
        fields.text("problem"),
        fields.whole("redactions"),
    )


def _objects(root: _Fields) -> tuple[Listed, ...]:
    listed = tuple(_listed(fields) for fields in root.objects("objects"))
    if len({item.name for item in listed}) != len(listed):
        root.fail("objects", "expected each name once")
    return listed


def _listed(fields: _Fields) -> Listed:
    name = fields.text("name")
    if _OUTSIDE & set(name.split("/")):
        fields.fail("name", "expected a name relative to the attempt")
    crc32c = fields.text("crc32c")
    if not _is_crc32c(crc32c):
        fields.fail("crc32c", "expected four bytes in base64")
    return Listed(name, fields.whole("size"), crc32c, _generation(fields))


def _is_crc32c(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 4  # noqa: PLR2004  (32 bits)
    except (binascii.Error, ValueError):
        return False


def _timings(fields: _Fields) -> Mapping[str, float]:
    return {name: fields.seconds(name) for name in fields.value}
