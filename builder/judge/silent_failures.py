"""The verdict on failures that Jupyter lets pass, and that the VM noticed. Pure."""

from __future__ import annotations

from collections.abc import Collection

from builder.judge.cell_checks import notebooks_fault, place
from builder.judge.cell_failure import failure_at
from builder.model import Notebook, Verdict
from builder.plain_text import one_line
from builder.vm.protocol import Notice

_CORRECT = {
    "bigquery": "Correct the query.",
    "shell": "Correct it. A command that may fail can end with `|| true`.",
    "thread": "Correct the code of the thread or task, and let a cell wait for its result.",
    "widget": "Correct the code whose output the widget takes.",
}
_WHY_RED = "Jupyter continues after such a failure; the notebook is red because NB_FAIL_ON includes {kind}."


def silent_failure(
    notebook: Notebook, fail_on: Collection[str], notices: Collection[Notice], *, until: int | None = None
) -> Verdict | None:
    """Return the verdict on the first failure of a kind in `fail_on`, up to the cell `until`. None: there is none."""
    listed = (
        notice for notice in notices if notice.kind in fail_on and (until is None or notice.cell <= until)
    )
    notice = next(listed, None)
    if notice is None:
        return None
    said = one_line(notice.message)
    return notebooks_fault(
        "silent_failure",
        f"{place(notice.cell, len(notebook.code_cells))} failed: {said}",
        f"{_CORRECT.get(notice.kind, '')} {_WHY_RED.format(kind=notice.kind)}".strip(),
        failure_at(notebook, notice.cell, said),
    )


def let_pass(fail_on: Collection[str], notices: Collection[Notice], cells: int) -> str:
    """Return the end of a green verdict's message: the failures that NB_FAIL_ON does not include; "" without any."""
    passed = [notice for notice in notices if notice.kind not in fail_on]
    if not passed:
        return ""
    first = passed[0]
    count = f"{len(passed)} failures" if len(passed) > 1 else "1 failure"
    named = "the first in" if len(passed) > 1 else "in"
    return f"; {count} that NB_FAIL_ON does not include, {named} {place(first.cell, cells)}: {one_line(first.message)}"
