"""The failure of a job, as the runner's steps raise it."""

from __future__ import annotations

from builder.vm.protocol import FaultReport


class Fault(Exception):
    """Ends the job other than by papermill's own exit.

    `reason`: one of the list in tests/unit/test_fault_reasons.py, each with its meaning in `builder/judge`. `cell`: the
    code cell's number, if any.
    """

    def __init__(self, reason: str, message: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.cell = cell

    @property
    def line(self) -> str:
        """The fault in one line, for the log and the serial port."""
        return f"{self.reason}: {self.message}"

    @property
    def report(self) -> FaultReport:
        """The fault as the evidence has it."""
        return FaultReport(self.reason, self.message, self.cell)
