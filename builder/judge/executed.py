"""Reads the notebook that papermill left, and lines its code cells up with those of the input. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from builder.model import CodeCell, JsonObject, Notebook
from builder.plan.notebooks import RAISES_TAG, code_cells_of, load_notebook

MAX_EXECUTED_BYTES = 512 * 2**20


@dataclass(frozen=True)
class ExecutedCell:
    """A code cell after execution. `count` is execution_count; `exception` and `status` are papermill's, if it left any."""

    cell: CodeCell
    count: int | None
    outputs: tuple[JsonObject, ...]
    exception: bool | None
    status: str | None

    @property
    def error(self) -> JsonObject | None:
        """Its first error output, if it has one."""
        return next((output for output in self.outputs if output["output_type"] == "error"), None)


@dataclass(frozen=True)
class Executed:
    """The executed notebook: its code cells, and what papermill wrote at its top (None: nothing)."""

    cells: tuple[ExecutedCell, ...]
    exception: bool
    parameters: Any


@dataclass(frozen=True)
class Slot:
    """A code cell that execution must have left. `number` counts the input's code cells from 1.

    `cell` None, with number 0, is the cell that papermill injects.
    """

    number: int
    cell: CodeCell | None

    @property
    def may_raise(self) -> bool:
        """True if an error in this cell is no failure."""
        return self.cell is not None and RAISES_TAG in self.cell.tags


def read_executed(content: bytes) -> Executed:
    """The executed notebook in these bytes.

    Raises:
        UnreadableNotebook: they are no valid notebook; the text says why.
    """
    notebook = load_notebook(content, limit=MAX_EXECUTED_BYTES)
    top = _papermill(notebook)
    return Executed(
        cells=tuple(_executed_cell(notebook["cells"], cell) for cell in code_cells_of(notebook)),
        exception=bool(top.get("exception")),
        parameters=top.get("parameters"),
    )


def slots(notebook: Notebook, *, injected: bool) -> tuple[Slot, ...]:
    """The code cells that papermill leaves of this input, in order.

    With parameters given papermill replaces the first cell tagged `injected-parameters`, or adds one after the
    first tagged `parameters`, or at the top (papermill 2.7, parameterize.py). Either may be no code cell.
    """
    found = [Slot(number, cell) for number, cell in enumerate(notebook.code_cells, start=1)]
    if not injected:
        return tuple(found)
    if notebook.injected_at is not None:
        first, after = notebook.injected_at, notebook.injected_at + 1
    else:
        first = after = 0 if notebook.parameters_at is None else notebook.parameters_at + 1
    before = [slot for slot in found if slot.cell and slot.cell.position < first]
    return (*before, Slot(0, None), *(slot for slot in found if slot.cell and slot.cell.position >= after))


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
    )


def _papermill(holder: JsonObject) -> JsonObject:
    value = holder["metadata"].get("papermill")
    return value if isinstance(value, dict) else {}
