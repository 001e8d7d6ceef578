"""Frozen values that several parts of the builder share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from builder.errors import ExitCode

JsonObject = dict[str, Any]

UTC = "Etc/UTC"  # the default time zone, as in Cloud Scheduler

# Of live.json, which deploy writes and the function reads.
LIVE_SCHEMA = 1
LIVE_TAG = "nb-live-"  # with the function's name, the tag of every build that the function submits

# The region inside a zone's name (us-central1-a), or inside a symbolic name of `plan` (region:us-central1).
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")


def region_of(place: str) -> str:
    """Return the region of a zone, or the region itself."""
    match = _REGION.search(place)
    return match.group() if match else place


def is_zone(place: str) -> bool:
    """True if the name is a zone's, not a region's."""
    return region_of(place) != place


@dataclass(frozen=True)
class Expectation:
    """One entry of NB_EXPECT: a glob below the job's published folder, and a minimum size in bytes."""

    glob: str
    minimum_bytes: int = 1


@dataclass(frozen=True)
class Accelerator:
    """GPUs to attach: Compute Engine's accelerator type, and their number."""

    type: str
    count: int


@dataclass(frozen=True)
class PullRequest:
    """A GitHub pull request or a GitLab merge request.

    `api` is the base address of its forge's API, `repository` the path of the repository on its forge.
    """

    forge: Literal["github", "gitlab"]
    url: str
    api: str
    repository: str
    number: int


@dataclass(frozen=True)
class GcsLocation:
    """`gs://bucket/prefix`; the prefix has no slash at either end and may be empty."""

    bucket: str
    prefix: str

    def object(self, *parts: str) -> str:
        """Return the name of the object at these parts below the prefix."""
        return "/".join(part for part in (self.prefix, *parts) if part)

    def url(self, *parts: str) -> str:
        """Return the gs:// address of the object at these parts below the prefix; without parts, of the location."""
        return f"gs://{self.bucket}/{self.object(*parts)}".rstrip("/")


@dataclass(frozen=True)
class CodeCell:
    """A code cell of a notebook: its position among all cells (from 0), source and tags."""

    position: int
    source: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Notebook:
    """A valid notebook: its repo-relative path, the SHA-256 of its staged form, and what else is needed of it."""

    path: str
    sha256: str
    language: str
    kernel: str
    code_cells: tuple[CodeCell, ...]
    declared_parameters: frozenset[str] | None  # None: unknown, since the language is not Python
    # Positions of the first cells, of any type, that papermill finds tagged `parameters` and `injected-parameters`.
    parameters_at: int | None = None
    injected_at: int | None = None
    code_sha256: str = ""  # of everything but the Markdown cells, to say what changed
    assumed: tuple[str, ...] = ()  # what the notebook leaves open or breaks, and how it is read


@dataclass(frozen=True)
class Listed:
    """An object in Cloud Storage, as a listing or an upload describes it. `crc32c` is base64, as in the API.

    `created`: when this generation was written, in RFC 3339.
    """

    name: str
    size: int
    crc32c: str
    generation: int
    created: str = field(default="", compare=False)


@dataclass(frozen=True)
class CellFailure:
    """The failure of a notebook: the code cell's number (from 1), its source, the line, and a short traceback.

    `count` is the execution count, Jupyter's number in brackets; None where it is not known.
    """

    cell: int
    cells: int
    source: str
    line: int | None
    error: str
    traceback: str
    count: int | None = None

    @property
    def place(self) -> str:
        """The cell in words. Jupyter's number is another one where papermill has added a cell."""
        if not self.cell:
            return "the cell with the parameters"
        other = f" (In [{self.count}])" if self.count not in {None, self.cell} else ""
        return f"cell {self.cell} of {self.cells}{other}"


@dataclass(frozen=True)
class Verdict:
    """The builder's verdict on one attempt, for the exit code, the report and result.json."""

    exit_code: ExitCode
    reason: str
    message: str
    advice: str = ""
    failure: CellFailure | None = None

    @property
    def green(self) -> bool:
        """True if every proof of success was found."""
        return self.exit_code is ExitCode.GREEN

    @property
    def retryable(self) -> bool:
        """True for faults of the environment; a notebook's own failure is never retried."""
        return self.exit_code is ExitCode.ENVIRONMENT_FAILED


class CellState(Enum):
    """The state of a code cell after a run. `ALLOWED` is an error that the cell's `raises-exception` tag allows."""

    PASSED = "passed"
    ALLOWED = "raised, as its tag allows"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class CellRun:
    """A code cell after a run, for the reports.

    `number` counts the input's code cells from 1; the cell that papermill adds for parameters has 0. `count` is
    Jupyter's execution count, `seconds` the cell's time; None: unknown. `title` is the first line of its source, and
    `text` the end of what it printed.
    """

    number: int
    state: CellState
    count: int | None
    seconds: float | None
    title: str
    text: str
