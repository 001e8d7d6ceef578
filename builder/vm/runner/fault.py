"""The failure of a job, as the runner's steps raise it."""

from __future__ import annotations

from typing import Literal

from builder.vm.protocol import FaultReport

# Why the run must end: the VM ends ("stopped"), its watchdog's limit is reached ("overrun"), or the builder's lease has
# expired ("abandoned"). "": it need not.
Stop = Literal["", "stopped", "overrun", "abandoned"]
_STOPS = {
    "stopped": ("runner", "the VM's shutdown ended the run {}"),
    "overrun": ("run_timeout", "the VM's limit ended the run {}"),
    "abandoned": ("lease_lost", "the run was ended {}: its build stopped renewing its lease"),
}


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


def ended(cause: Stop, where: str, cell: int | None = None) -> Fault:
    """Return the fault of a run that must end. `cause` is not ""; `where` says in words what it was doing."""
    reason, message = _STOPS[cause]
    return Fault(reason, message.format(where), cell)
