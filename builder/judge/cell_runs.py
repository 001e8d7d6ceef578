"""Describes each code cell of an executed notebook for the reports. No verdict depends on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.judge.cell_failure import find_failure
from builder.judge.executed_notebook import ExecutedCell, ExpectedCell, expected_cells, read_executed
from builder.model import CellFailure, CellRun, CellState, Notebook
from builder.plain_text import one_line, plain
from builder.plan.notebooks import UnreadableNotebook, is_executed, joined

MAX_TEXT = 2000  # characters of one cell's output in a report
MAX_TEXTS = 64_000  # characters of one notebook's outputs in a report


def cell_runs(
    notebook: Notebook, parameters: Mapping[str, Any], executed: bytes | None
) -> tuple[CellRun, ...]:
    """Return the code cells in order; those of the input, not run, if there is no executed notebook to read."""
    expected = expected_cells(notebook, injected=bool(parameters))
    try:
        after = read_executed(executed or b"")
    except (UnreadableNotebook, RecursionError):
        return tuple(_not_run(cell) for cell in expected)
    if len(after.cells) != len(expected):
        return tuple(_not_run(cell) for cell in expected)
    failure = find_failure(notebook, after, expected)
    left = MAX_TEXTS
    runs = []
    for wanted, cell in zip(expected, after.cells, strict=True):
        text = _text(cell)[-min(MAX_TEXT, left) :] if left else ""
        left -= len(text)
        runs.append(
            CellRun(
                number=wanted.number,
                state=_state(wanted, cell, failure),
                count=cell.count,
                seconds=cell.seconds,
                title=one_line(cell.cell.source, 80),
                text=text,
            )
        )
    return tuple(runs)


def _not_run(cell: ExpectedCell) -> CellRun:
    title = one_line(cell.cell.source, 80) if cell.cell else ""
    idle = cell.cell is not None and not is_executed(cell.cell)
    return CellRun(cell.number, CellState.SKIPPED if idle else CellState.NOT_RUN, None, None, title, "")


def _state(wanted: ExpectedCell, cell: ExecutedCell, failure: CellFailure | None) -> CellState:
    if wanted.cell is not None and not is_executed(wanted.cell):
        return CellState.SKIPPED
    if failure is not None and failure.cell == wanted.number:
        return CellState.FAILED
    if cell.error is not None:
        return CellState.ALLOWED if wanted.may_raise else CellState.FAILED
    ran = cell.count is not None and cell.status in {None, "completed"}
    return CellState.PASSED if ran else CellState.NOT_RUN


def _text(cell: ExecutedCell) -> str:
    """Return what the cell printed and its text results, in plain characters."""
    parts = []
    for output in cell.outputs:
        if output["output_type"] == "stream":
            parts.append(joined(output["text"]))
        elif output["output_type"] in {"execute_result", "display_data"}:
            text = output["data"].get("text/plain")
            parts.append(joined(text) + "\n" if isinstance(text, str | list) else "")
    return plain("".join(part[-2 * MAX_TEXT :] for part in parts if part))
