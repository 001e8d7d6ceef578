"""Reads the executed notebook, and derives from the input which code cells it must have. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from builder.model import CodeCell, JsonObject, Notebook
from builder.plan.notebooks import RAISES_TAG, code_cells_of, load_notebook

# Its JSON takes some nine times as much memory, and Cloud Build's default machine has 4 GB.
MAX_EXECUTED_BYTES = 128 * 2**20
_MAX_CELL_SECONDS = 366 * 86400  # seconds; a longer duration in the notebook was not measured


@dataclass(frozen=True)
class ExecutedCell:
    """A code cell after execution.

    `count` is execution_count; `exception`, `status` and `seconds` are papermill's; None: it wrote none.
    """

    cell: CodeCell
    count: int | None
    outputs: tuple[JsonObject, ...]
    exception: bool | None
    status: str | None
    seconds: float | None = None

    @property
    def error(self) -> JsonObject | None:
        """The last error output, which ended the cell if anything did; None without one."""
        return next((output for output in reversed(self.outputs) if output["output_type"] == "error"), None)


@dataclass(frozen=True)
class Executed:
    """The executed notebook: its code cells, and papermill's own entry in its metadata."""

    cells: tuple[ExecutedCell, ...]
    exception: bool
    parameters: Any


@dataclass(frozen=True)
class ExpectedCell:
    """A code cell that the executed notebook must have. `number` counts the input's code cells from 1.

    The cell that papermill injects has number 0, and `cell` is None.
    """

    number: int
    cell: CodeCell | None

    @property
    def may_raise(self) -> bool:
        """True if an error in this cell is no failure."""
        return self.cell is not None and RAISES_TAG in self.cell.tags


def read_executed(content: bytes) -> Executed:
    """Return the executed notebook in these bytes.

    Raises:
        UnreadableNotebook: the bytes are no valid notebook; the text has the reason.
    """
    notebook = load_notebook(content, limit=MAX_EXECUTED_BYTES)
    top = _papermill(notebook)
    return Executed(
        cells=tuple(_executed_cell(notebook["cells"], cell) for cell in code_cells_of(notebook)),
        exception=bool(top.get("exception")),
        parameters=top.get("parameters"),
    )


def expected_cells(notebook: Notebook, *, injected: bool) -> tuple[ExpectedCell, ...]:
    """Return the code cells that papermill leaves of this input, in order.

    With parameters, papermill replaces the first cell tagged `injected-parameters`, or adds one after the
    first tagged `parameters`, or at the top (papermill 2.7, parameterize.py). Either can be another type of cell.
    """
    found = [ExpectedCell(number, cell) for number, cell in enumerate(notebook.code_cells, start=1)]
    if not injected:
        return tuple(found)
    if notebook.injected_at is not None:
        first, after = notebook.injected_at, notebook.injected_at + 1
    else:
        first = after = 0 if notebook.parameters_at is None else notebook.parameters_at + 1
    before = [
        expected_cell for expected_cell in found if expected_cell.cell and expected_cell.cell.position < first
    ]
    return (
        *before,
        ExpectedCell(0, None),
        *(
            expected_cell
            for expected_cell in found
            if expected_cell.cell and expected_cell.cell.position >= after
        ),
    )


def _executed_cell(raw_cells: list[JsonObject], cell: CodeCell) -> ExecutedCell:
    raw = raw_cells[cell.position]
    papermill = _papermill(raw)
    known = "papermill" in raw["metadata"]
    count = raw.get("execution_count")
    return ExecutedCell(
        cell=cell,
        count=count if type(count) is int else None,
        outputs=tuple(raw.get("outputs", ())),
        exception=papermill.get("exception") is not False if known else None,
        status=str(papermill.get("status")) if known else None,
        seconds=_seconds(papermill.get("duration")),
    )


def _seconds(value: Any) -> float | None:
    known = type(value) in {int, float} and 0 <= value < _MAX_CELL_SECONDS
    return float(value) if known else None


def _papermill(holder: JsonObject) -> JsonObject:
    value = holder["metadata"].get("papermill")
    return value if isinstance(value, dict) else {}
