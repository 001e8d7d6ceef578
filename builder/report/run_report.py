"""The facts of a finished run that every report format shows, and the links between the run's files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import quote

from builder.act.result import JobResult, RunResult
from builder.model import CellFailure, GcsLocation, JsonObject
from builder.plain_text import plain

SOURCE_AROUND = 6  # lines of a cell's source shown above and below the one that failed


@dataclass(frozen=True)
class PastRun:
    """An earlier run of a job: when it began (RFC 3339), its color, and how long the job took in seconds."""

    run: str
    began: str
    verdict: str
    seconds: float


@dataclass(frozen=True)
class RunReport:
    """A judged run. `build` and `commit` are empty where they are not known, `day` is None unless it is scheduled.

    `history` has the earlier runs of each job, oldest first.
    """

    result: RunResult
    location: GcsLocation
    build: str = ""
    commit: str = ""
    day: date | None = None
    history: Mapping[str, Sequence[PastRun]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The gs:// address of the folder that has the reports, without a slash at its end."""
        return self.location.url("results", self.result.run)

    def link(self, job: JobResult, name: str) -> str:
        """Return a published file's address, relative to the reports' folder, quoted for HTML and Markdown."""
        return quote(posixpath.relpath(job.output + name, self.folder))


def browser_url(gs_url: str) -> str:
    """Return the address at which a browser that is signed in to Google shows the object."""
    return "https://storage.cloud.google.com/" + quote(gs_url.removeprefix("gs://"))


def excerpt(failure: CellFailure) -> Sequence[tuple[int, str, bool]]:
    """Return the lines of the failing cell around the one that failed: number, text, and True if it failed."""
    lines = enumerate(plain(failure.source).splitlines(), start=1)
    middle = failure.line or 1
    return [
        (number, text, number == failure.line)
        for number, text in lines
        if abs(number - middle) <= SOURCE_AROUND
    ]


def vm_seconds(jobs: Sequence[JobResult]) -> Mapping[str, float]:
    """Return the seconds that VMs ran, by machine type, with " (Spot)" for Spot VMs."""
    total: dict[str, float] = {}
    for job in jobs:
        for vm in job.vms:
            kind = vm.machine_type + (" (Spot)" if vm.model == "SPOT" else "")
            total[kind] = total.get(kind, 0.0) + vm.seconds
    return dict(sorted(total.items()))


def shown_parameters(parameters: Mapping[str, object]) -> JsonObject:
    """Return the parameters as JSON has them, in their own order."""
    return {name: value if _is_json(value) else str(value) for name, value in parameters.items()}


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | list | dict)
