"""Turns papermill's callbacks into events: which cell starts, and how it ends."""

from __future__ import annotations

import sys
import time
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NotebookExecutionManager

from .frames import INJECTED
from .reports import Reports

_OUTPUT_MISSING = "IOPub output"  # in nbclient's error if a cell has ended and its output does not
RAISES = "raises-exception"  # nbclient's tag of a cell whose errors are allowed


class Progress:
    """Turns papermill's callbacks into events.

    Cells are the code cells of the input, numbered from 1; 0 is papermill's.
    """

    def __init__(self, manager: NotebookExecutionManager, send: Reports, request: dict[str, Any]) -> None:
        self._send = send
        self._running: Any = None
        self._started = 0.0
        code = [cell for cell in manager.nb.cells if cell.cell_type == "code"]
        # Without parameters, an injected cell of an earlier run is an ordinary cell.
        injected = next((cell for cell in code if _is_injected(cell)), None) if request["injected"] else None
        if request["injected"] == "added":
            code = [cell for cell in code if cell is not injected]
        self._numbers = {id(cell): number for number, cell in enumerate(code, start=1)}
        if injected is not None:
            self._numbers[id(injected)] = 0
        self._start, self._complete = manager.cell_start, manager.cell_complete
        manager.cell_start = self.cell_start
        manager.cell_complete = self.cell_complete
        send(event="cells", cells=len(code))

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Replaces the manager's callback."""
        self._started, self._running = time.monotonic(), cell
        if cell.cell_type == "code":
            self._send(event="start", cell=self._numbers[id(cell)])
        self._start(cell, cell_index=cell_index, **kwargs)

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Replaces the manager's callback, which papermill also calls while an exception propagates."""
        exception = sys.exc_info()[1]
        self._complete(cell, cell_index=cell_index, **kwargs)
        if cell.cell_type == "code":
            status, error = _outcome(cell, exception)
            seconds = round(time.monotonic() - self._started, 3)
            number = self._numbers[id(cell)]
            self._send.end_output()
            self._send(event="end", cell=number, status=status, seconds=seconds, error=error)
        self._running = None

    def note(self, cell: Any, text: str) -> None:
        """Send a remark about a cell for the log."""
        self._send(event="note", cell=self._numbers[id(cell)], text=text)

    def notice(self, cell: Any, kind: str, message: str) -> None:
        """Send a failure that Jupyter lets pass."""
        self._send(event="notice", cell=self._numbers[id(cell)], kind=kind, message=message)

    def note_late_error(self, cell: Any, error: Any) -> None:
        """Send a remark about an error that a cell shows after its end."""
        if cell is not self._running:
            self.note(cell, f"showed an error after its end: {error['ename']}: {error['evalue']}")


def _is_injected(cell: Any) -> bool:
    return INJECTED in cell.metadata.get("tags", [])


def _outcome(cell: Any, exception: BaseException | None) -> tuple[str, str]:
    """Return how a cell ended, and its error in one line."""
    if isinstance(exception, CellTimeoutError) and _OUTPUT_MISSING not in str(exception):
        return "timeout", "it reached the time limit for a cell"
    if isinstance(exception, DeadKernelError):
        return "died", "the kernel died"
    if isinstance(exception, BaseException):
        return "aborted", f"{type(exception).__name__}: {exception}"
    error = next((output for output in reversed(cell.outputs) if output.output_type == "error"), None)
    if error and RAISES in cell.metadata.get("tags", []):
        return "ok", f"raised {error.ename}, as its tag allows"
    if error:
        raised = cell.metadata.papermill.get("exception")
        return "failed" if raised else "shown", f"{error.ename}: {error.evalue}"
    return ("ok", "") if cell.execution_count is not None or not cell.source.strip() else ("skipped", "")
