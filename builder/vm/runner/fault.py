"""The failure of a job, as the runner's steps raise it."""

from __future__ import annotations

from builder.vm.protocol import PREEMPTED, FaultReport

REASONS = {
    "cell_timeout",
    "notebook_timeout",
    "kernel_died",
    "out_of_memory",
    "kernel_not_found",
    "disk_full",
    "notebook_unreadable",
    "notebook_failed",
    "gpu_not_visible",
    "lease_lost",
    "setup_failed",
    "setup_timeout",
    "requirements_unresolvable",
    "requirements_timeout",
    "index_unreachable",
    "index_refused",
    "index_untrusted",
    "ca_bundle_unusable",
    "secret_refused",
    "secret_unfit",
    "secret_unavailable",
    "secret_in_source",
    "secret_in_output",
    PREEMPTED,
    "workspace",
    "forbidden",
    "storage",
    "runner",
}


class Fault(Exception):
    """Ends the job for one of `REASONS`, other than by papermill's own exit.

    `cell` is the code cell's number, if any.
    """

    def __init__(self, reason: str, message: str, cell: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason if reason in REASONS else "runner"
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
