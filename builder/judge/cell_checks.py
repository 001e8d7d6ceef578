"""Checks that the staged notebook was executed cell by cell to its end. One part of the verdict. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from builder.errors import ExitCode
from builder.judge.cell_failure import failure_of
from builder.judge.executed_notebook import Executed, ExecutedCell, ExpectedCell, expected_cells
from builder.model import CellFailure, Notebook, Verdict
from builder.plan.notebooks import INJECTED_TAG, is_executed

START_AGAIN = "Run the build again. If it fails again, read the VM's lines in the log of the build."
CORRECT_CELL = "Correct the cell. The executed notebook has its whole output."
NO_OVERWRITE = "Make sure that no cell overwrites the executed notebook."
SHOW_LESS = "Let the cells show less, and write large results to files below outputs/."
READ_LOG = "Look at the log and the executed notebook."


def environments_fault(reason: str, message: str) -> Verdict:
    """Return a red verdict that a new attempt can fix."""
    return Verdict(ExitCode.ENVIRONMENT_FAILED, reason, message, START_AGAIN)


def notebooks_fault(reason: str, message: str, advice: str, failure: CellFailure | None = None) -> Verdict:
    """Return a red verdict that only a change of the notebook can fix."""
    return Verdict(ExitCode.NOTEBOOK_FAILED, reason, message, advice, failure)


def place(number: int, cells: int) -> str:
    """Return a code cell's number in words; 0 is the cell that papermill adds."""
    return f"cell {number} of {cells}" if number else "the cell with the parameters"


def check_cells(notebook: Notebook, parameters: Mapping[str, Any], after: Executed) -> Verdict | None:
    """Return the first difference from this notebook, run with these parameters to its end. None: there is none."""
    wanted = expected_cells(notebook, injected=bool(parameters))
    if len(wanted) != len(after.cells):
        return _differs(f"it has {len(after.cells)} code cells where {len(wanted)} were expected")
    if _parameters_differ(parameters, after):
        return environments_fault(
            "parameters_differ", "the notebook ran with other parameters than the job has"
        )
    last = 0
    for expected_cell, cell in zip(wanted, after.cells, strict=True):
        here = place(expected_cell.number, len(notebook.code_cells))
        verdict = _check_source(here, expected_cell, cell) or _check_run(
            notebook, here, expected_cell, cell, last
        )
        if verdict is not None:
            return verdict
        last = cell.count or last
    if after.exception:
        message = "papermill marked the executed notebook as failed"
        return notebooks_fault("notebook_failed", message, READ_LOG)
    return None


def _check_source(here: str, expected_cell: ExpectedCell, cell: ExecutedCell) -> Verdict | None:
    if expected_cell.cell is None:
        return None if INJECTED_TAG in cell.cell.tags else _differs(f"it lacks {here}")
    return (
        None
        if expected_cell.cell.source == cell.cell.source
        else _differs(f"{here} has another source than the staged cell")
    )


def _check_run(
    notebook: Notebook, here: str, expected_cell: ExpectedCell, cell: ExecutedCell, last: int
) -> Verdict | None:
    if expected_cell.cell is not None and not is_executed(expected_cell.cell):
        idle = cell.count is None and not cell.outputs
        return (
            None if idle else _differs(f"{here} must not be executed, but has an execution count or outputs")
        )
    if cell.error is not None and not expected_cell.may_raise:
        return _error_after_exit_0(notebook, expected_cell, cell)
    if cell.count is None or cell.exception or cell.status not in {None, "completed"}:
        message = f"stopped before the end: {here} did not run to completion"
        return notebooks_fault("stopped_early", message, "Find what ended the notebook in this cell.")
    if cell.count <= last:
        message = f"{here} has execution count {cell.count}, which does not come after {last}"
        return notebooks_fault("execution_order", message, "Make sure that no cell resets the kernel.")
    return None


def _error_after_exit_0(notebook: Notebook, expected_cell: ExpectedCell, cell: ExecutedCell) -> Verdict:
    """Return the verdict on an error output after exit code 0: papermill counts `sys.exit(0)` as success."""
    failure = failure_of(notebook, expected_cell, cell)
    if failure.error.startswith("SystemExit"):
        advice = "Let the notebook run to its end, without sys.exit."
        return notebooks_fault(
            "stopped_early", f"stopped at {failure.place}: {failure.error}", advice, failure
        )
    return notebooks_fault("cell_failed", f"{failure.place} failed: {failure.error}", CORRECT_CELL, failure)


def _differs(what: str) -> Verdict:
    message = f"the executed notebook is not the staged one: {what}"
    return notebooks_fault("cells_differ", message, NO_OVERWRITE)


def _parameters_differ(given: Mapping[str, Any], after: Executed) -> bool:
    """Return True if the notebook ran with other parameters. Raises RecursionError if they are nested too deep.

    The comparison is of texts, since True, 1 and 1.0 are equal in Python, but not in a notebook. Without parameters,
    papermill leaves those of an earlier run in a notebook that was committed after it. The cells prove that none is
    injected.
    """
    if not given or after.parameters is None:
        return False
    wanted = json.loads(json.dumps(dict(given), default=str))
    return json.dumps(after.parameters, sort_keys=True) != json.dumps(wanted, sort_keys=True)
