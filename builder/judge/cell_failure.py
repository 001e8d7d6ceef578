"""Finds the failed cell of a notebook, with line, error and a short traceback for the report. Pure."""

from __future__ import annotations

import re
from typing import Any

from builder.judge.executed_notebook import Executed, ExecutedCell, ExpectedCell
from builder.model import CellFailure, JsonObject, Notebook
from builder.plain_text import one_line, plain
from builder.plan.notebooks import joined

MAX_TRACEBACK_LINES = 15

# The first line of a frame in a cell, as IPython prints it since 5.x; group "count" is the cell's execution count.
_CELL_FRAME = re.compile(
    r"^\s*(?:Cell In|Input In|In) ?\[(?P<count>\d+)\](?:, line (?P<line>\d+))?|^\s*<ipython-input-(?P<old>\d+)-"
)
_ARROW = re.compile(r"^-+> ?(?P<line>\d+)\b", re.MULTILINE)
_LIBRARY_FRAME = re.compile(
    r"^\s*(?:File )?\S*(?:/site-packages/|/dist-packages/|/lib/python3)|^\s*File <frozen "
)
_RULE = re.compile(r"^-{20,}$")


def find_failure(
    notebook: Notebook, executed: Executed, expected: tuple[ExpectedCell, ...]
) -> CellFailure | None:
    """Return the first failed cell of the executed notebook, or None if no cell shows a failure.

    An error in a cell that the input tags `raises-exception` is no failure.
    """
    numbered = expected if len(expected) == len(executed.cells) else ()
    for index, cell in enumerate(executed.cells):
        expected_cell = numbered[index] if numbered else ExpectedCell(index + 1, cell.cell)
        if _failed(cell, expected_cell):
            return failure_of(notebook, expected_cell, cell)
    return None


def failure_at(notebook: Notebook, number: int | None, error: str) -> CellFailure | None:
    """Return the input's code cell `number` (from 1) as the place of an error; None if there is no such cell."""
    if number is None or not 0 < number <= len(notebook.code_cells):
        return None
    return CellFailure(
        cell=number,
        cells=len(notebook.code_cells),
        source=plain(notebook.code_cells[number - 1].source),
        line=None,
        error=one_line(error),
        traceback="",
    )


def _failed(cell: ExecutedCell, expected_cell: ExpectedCell) -> bool:
    if cell.exception:
        return cell.status == "failed" or cell.error is not None
    return cell.error is not None and not expected_cell.may_raise


def failure_of(notebook: Notebook, expected_cell: ExpectedCell, cell: ExecutedCell) -> CellFailure:
    """Return the failure of one cell, as its last error output describes it."""
    error = cell.error or {"ename": "an error without output", "evalue": "", "traceback": []}
    lines = [line for entry in error["traceback"] for line in plain(entry).rstrip("\n").split("\n")]
    return CellFailure(
        cell=expected_cell.number,
        cells=len(notebook.code_cells),
        source=plain(cell.cell.source),
        line=_line_in_cell(lines, cell),
        error=_error_text(error),
        traceback="\n".join(_shortened(lines)),
        count=cell.count,
    )


def _error_text(error: JsonObject) -> str:
    name, value = one_line(error["ename"]), one_line(_text(error["evalue"]))
    return f"{name}: {value}" if value else name


def _text(value: Any) -> str:
    return joined(value) if isinstance(value, str | list) else str(value)


def _line_in_cell(lines: list[str], cell: ExecutedCell) -> int | None:
    """Return the line of the cell's source, from 1, that the cell's last frame names."""
    found: int | None = None
    inside = False
    for line in lines:
        head = _CELL_FRAME.match(line)
        if head is not None:
            inside = int(head["count"] or head["old"]) == cell.count
            if inside and head["line"]:
                found = int(head["line"])
        elif inside and (arrow := _ARROW.match(line)):
            found, inside = int(arrow["line"]), False
    return found if found is not None and 0 < found <= cell.cell.source.count("\n") + 1 else None


def _shortened(lines: list[str]) -> list[str]:
    """Return at most 15 lines of the traceback, without the frames of libraries."""
    kept: list[str] = []
    dropped = 0
    in_library = False
    for line in lines:
        if _RULE.match(line) or line.rstrip().endswith("Traceback (most recent call last)"):
            continue
        if _LIBRARY_FRAME.match(line):
            dropped, in_library = dropped + 1, True
        elif _CELL_FRAME.match(line) or _is_frame_end(line):
            in_library = False
        if not in_library:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    if dropped:
        kept.insert(max(len(kept) - 1, 0), f"… {dropped} frame{'s' if dropped > 1 else ''} in libraries")
    if len(kept) <= MAX_TRACEBACK_LINES:
        return kept
    head = MAX_TRACEBACK_LINES // 2
    tail = MAX_TRACEBACK_LINES - head - 1
    return [*kept[:head], f"… {len(kept) - head - tail} lines", *kept[-tail:]]


def _is_frame_end(line: str) -> bool:
    """Return True if the line ends a library frame: it begins a frame of the user's file, or the error."""
    return bool(re.match(r"^\s*File |^\w[\w.]*(?:: |$)", line))
