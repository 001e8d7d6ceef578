"""Was the notebook executed as it stands, cell by cell, to its end? One part of the verdict. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from builder.errors import ExitCode
from builder.judge.cell_failure import failure_of
from builder.judge.executed import Executed, ExecutedCell, Slot, slots
from builder.model import CellFailure, Notebook, Verdict
from builder.plan.notebooks import INJECTED_TAG, is_executed

AGAIN = "Start the build again; if it comes back, look at the VM's log."
CORRECT_CELL = "Correct the cell; the executed notebook has its whole output."
KEEP_HANDS_OFF = "See that no cell writes over the executed notebook."
LOOK = "Look at the log and the executed notebook."


def environments_fault(reason: str, message: str) -> Verdict:
    """Red, and a fresh attempt may do better."""
    return Verdict(ExitCode.ENVIRONMENT_FAILED, reason, message, AGAIN)


def notebooks_fault(reason: str, message: str, advice: str, failure: CellFailure | None = None) -> Verdict:
    """Red for good: the notebook itself must change."""
    return Verdict(ExitCode.NOTEBOOK_FAILED, reason, message, advice, failure)


def place(number: int, cells: int) -> str:
    """A code cell's number in words; 0 is the cell that papermill adds."""
    return f"cell {number} of {cells}" if number else "the cell with the parameters"


def check_cells(notebook: Notebook, parameters: Mapping[str, Any], after: Executed) -> Verdict | None:
    """The first thing that keeps the executed notebook from being this one, run with these parameters to its end."""
    wanted = slots(notebook, injected=bool(parameters))
    if len(wanted) != len(after.cells):
        return _differs(f"it has {len(after.cells)} code cells where {len(wanted)} were expected")
    if _parameters_differ(parameters, after):
        return environments_fault(
            "parameters_differ", "the notebook was run with other parameters than given"
        )
    last = 0
    for slot, cell in zip(wanted, after.cells, strict=True):
        here = place(slot.number, len(notebook.code_cells))
        verdict = _check_source(here, slot, cell) or _check_run(notebook, here, slot, cell, last)
        if verdict is not None:
            return verdict
        last = cell.count or last
    if after.exception:
        message = "papermill marked the executed notebook as failed"
        return notebooks_fault("notebook_failed", message, LOOK)
    return None


def _check_source(here: str, slot: Slot, cell: ExecutedCell) -> Verdict | None:
    if slot.cell is None:
        return None if INJECTED_TAG in cell.cell.tags else _differs(f"it lacks {here}")
    return (
        None
        if slot.cell.source == cell.cell.source
        else _differs(f"{here} has another source than was staged")
    )


def _check_run(notebook: Notebook, here: str, slot: Slot, cell: ExecutedCell, last: int) -> Verdict | None:
    if slot.cell is not None and not is_executed(slot.cell):
        idle = cell.count is None and not cell.outputs
        return None if idle else _differs(f"{here} was not to be executed, but has a count or outputs")
    if cell.error is not None and not slot.may_raise:
        return _error_after_exit_0(notebook, here, slot, cell)
    if cell.count is None or cell.exception or cell.status not in {None, "completed"}:
        message = f"stopped before the end: {here} did not run to completion"
        return notebooks_fault("stopped_early", message, "See what ended the notebook before that.")
    if cell.count <= last:
        message = f"{here} has execution count {cell.count}, which does not come after {last}"
        return notebooks_fault("execution_order", message, "See that no cell resets the kernel.")
    return None


def _error_after_exit_0(notebook: Notebook, here: str, slot: Slot, cell: ExecutedCell) -> Verdict:
    """An error output though papermill was content: it takes `sys.exit(0)` for a good end."""
    failure = failure_of(notebook, slot, cell)
    if failure.error.startswith("SystemExit"):
        advice = "Let the notebook run to its end, without sys.exit."
        return notebooks_fault("stopped_early", f"stopped at {here}: {failure.error}", advice, failure)
    return notebooks_fault("cell_failed", f"{here} failed: {failure.error}", CORRECT_CELL, failure)


def _differs(what: str) -> Verdict:
    message = f"the executed notebook is not the one that was staged: {what}"
    return notebooks_fault("cells_differ", message, KEEP_HANDS_OFF)


def _parameters_differ(given: Mapping[str, Any], after: Executed) -> bool:
    """Compares as text: to Python True, 1 and 1.0 are equal, to a notebook they are not.

    Without parameters papermill leaves those of an earlier run in a notebook that was committed after it; none has
    been injected then, which the cells prove. Raises RecursionError where they are nested too deep.
    """
    if not given or after.parameters is None:
        return False
    wanted = json.loads(json.dumps(dict(given), default=str))
    return json.dumps(after.parameters, sort_keys=True) != json.dumps(wanted, sort_keys=True)
