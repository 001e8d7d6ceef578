"""The frozen values that travel from options to plan to act to report; no behaviour beyond what follows from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from builder.errors import ExitCode

JsonObject = dict[str, Any]

UTC = "Etc/UTC"  # the time zone where none is chosen; Cloud Scheduler's own default

# Of live.json, which deploy writes and the function reads.
LIVE_SCHEMA = 1
LIVE_TAG = "nb-live-"  # before the function's name: the tag of every build that it submits, by which it finds and counts them

_REGION = re.compile(
    r"[a-z]+-[a-z]+[0-9]+"
)  # of a zone's name, such as us-central1-a; symbolic names have it inside


def region_of(place: str) -> str:
    """The region that a zone is in; a region is its own."""
    match = _REGION.search(place)
    return match.group() if match else place


def is_zone(place: str) -> bool:
    """Whether the name is a zone's and not a region's."""
    return region_of(place) != place


@dataclass(frozen=True)
class Expectation:
    """One entry of NB_EXPECT: a glob relative to the job's published folder and a minimum size in bytes."""

    glob: str
    minimum_bytes: int = 1


@dataclass(frozen=True)
class Accelerator:
    """A GPU to attach: Compute Engine's accelerator type and how many."""

    type: str
    count: int


@dataclass(frozen=True)
class GcsLocation:
    """`gs://bucket/prefix`; the prefix has no slash at either end and may be empty."""

    bucket: str
    prefix: str

    def object(self, *parts: str) -> str:
        """The name of the object at these parts below the prefix."""
        return "/".join(part for part in (self.prefix, *parts) if part)

    def url(self, *parts: str) -> str:
        """The same as a gs:// address."""
        return f"gs://{self.bucket}/{self.object(*parts)}"


@dataclass(frozen=True)
class CodeCell:
    """A code cell of a notebook: its position among all cells (from 0), source and tags."""

    position: int
    source: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Notebook:
    """A notebook that was read and found valid: repo-relative path, bytes, and what deciding needs of it."""

    path: str
    content: bytes
    sha256: str
    language: str
    kernel: str
    code_cells: tuple[CodeCell, ...]
    declared_parameters: frozenset[str] | None  # None: cannot be told (not Python)
    # Positions of the first cells, of whatever type, that papermill finds tagged `parameters` and `injected-parameters`.
    parameters_at: int | None = None
    injected_at: int | None = None


@dataclass(frozen=True)
class Listed:
    """An object in Cloud Storage as a listing or an upload told it. `crc32c` is base64, as the API gives it."""

    name: str
    size: int
    crc32c: str
    generation: int


@dataclass(frozen=True)
class CellFailure:
    """Where a notebook failed: the code cell's number (from 1), its source, the line, and a short traceback."""

    cell: int
    cells: int
    source: str
    line: int | None
    error: str
    traceback: str


@dataclass(frozen=True)
class Verdict:
    """What the builder holds of one attempt: green or why not, for the exit code, the report and result.json."""

    exit_code: ExitCode
    reason: str
    message: str
    advice: str = ""
    failure: CellFailure | None = None

    @property
    def green(self) -> bool:
        """True only on positive proof."""
        return self.exit_code is ExitCode.GREEN

    @property
    def retryable(self) -> bool:
        """Only faults of the environment are tried again; a notebook's own failure never is."""
        return self.exit_code is ExitCode.ENVIRONMENT_FAILED
