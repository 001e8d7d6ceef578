"""index.html: a run as one page for people. It holds no script, loads nothing, and its links are relative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from builder.act.result import JobResult, color
from builder.model import CellRun, CellState
from builder.plan.format import duration
from builder.report.page import render_page
from builder.report.run_report import PastRun, RunReport, excerpt, shown_parameters, vm_seconds

_BAR_WIDTH = 1000.0  # units of the drawing; a browser scales it
_MIN_WIDTH = 4.0  # of a cell that took no time
_HISTORY_HEIGHT = 24.0
MAX_PACKAGES = 500  # of one notebook that the page names
MAX_FILES = 200
_CLASSES = {
    CellState.PASSED: "passed",
    CellState.ALLOWED: "allowed",
    CellState.FAILED: "failed",
    CellState.SKIPPED: "skipped",
    CellState.NOT_RUN: "not-run",
}


@dataclass(frozen=True)
class Bar:
    """A rectangle of a drawing: its place, its size, its style class and its tooltip."""

    x: float
    width: float
    height: float
    kind: str
    title: str


def render_index(report: RunReport) -> bytes:
    """Return the page."""
    return render_page(
        "index.html.j2",
        report=report,
        result=report.result,
        red=[job for job in report.result.jobs if not job.verdict.green],
        green=[job for job in report.result.jobs if job.verdict.green],
        vm_seconds=vm_seconds(report.result.jobs),
        color=color,
        cell_bars=cell_bars,
        cell_counts=cell_counts,
        history_bars=history_bars,
        source_lines=excerpt,
        outputs=outputs,
        parameters=shown_parameters,
        classes=_CLASSES,
        most_packages=MAX_PACKAGES,
        most_files=MAX_FILES,
    )


def cell_bars(cells: Sequence[CellRun]) -> Sequence[Bar]:
    """Return a bar for each cell, as wide as its part of the notebook's time."""
    total = sum(cell.seconds or 0.0 for cell in cells) or 1.0
    free = max(0.0, _BAR_WIDTH - _MIN_WIDTH * len(cells))
    least = min(_MIN_WIDTH, _BAR_WIDTH / max(1, len(cells)))
    bars, x = [], 0.0
    for cell in cells:
        width = least + free * (cell.seconds or 0.0) / total
        time = "" if cell.seconds is None else f", {duration(cell.seconds)}"
        name = f"cell {cell.number}" if cell.number else "parameters"
        bars.append(
            Bar(round(x, 2), round(width, 2), 1.0, _CLASSES[cell.state], f"{name}: {cell.state.value}{time}")
        )
        x += width
    return bars


def cell_counts(cells: Sequence[CellRun]) -> str:
    """Return the number of cells in each state, such as "4 passed, 1 failed"."""
    counts = Counter(cell.state for cell in cells)
    return ", ".join(f"{counts[state]} {state.value}" for state in CellState if counts[state])


def history_bars(past: Sequence[PastRun], job: JobResult, began: str) -> Sequence[Bar]:
    """Return a bar for each run of the job, oldest first and this run last, as high as its part of the longest time."""
    runs = [*past, PastRun("this run", began, color(job.verdict), job.seconds)]
    longest = max(run.seconds for run in runs) or 1.0
    return [
        Bar(
            x=10.0 * number,
            width=8.0,
            height=round(max(2.0, _HISTORY_HEIGHT * run.seconds / longest), 2),
            kind="passed" if run.verdict == "green" else "failed",
            title=f"{run.began[:16].replace('T', ' ')}: {run.verdict}, {duration(run.seconds)} ({run.run})",
        )
        for number, run in enumerate(runs)
    ]


def outputs(job: JobResult) -> Sequence[str]:
    """Return the names of the files that the notebook wrote."""
    return [name for name in job.files if name.startswith("outputs/")]
