"""The progress of a run, as a Protocol. `builder.report.Console` prints it."""

from __future__ import annotations

from typing import Protocol

from builder.model import Verdict
from builder.plan.build_plan import Plan


class ProgressReporter(Protocol):
    """Receives the progress of a run, from any thread."""

    def began(self, plan: Plan, *, run: str, project: str) -> None:
        """Report that the run has its id, and that its jobs begin."""

    def line(self, text: str) -> None:
        """Report a message about the run as a whole."""

    def report(self, job: str, text: str) -> None:
        """Report a state change of a job."""

    def relay(self, job: str, line: str) -> None:
        """Report a line of the VM's log, unchanged."""

    def judged(self, job: str, verdict: Verdict, seconds: float) -> None:
        """Report the verdict on a job as soon as it is known, and the seconds that the job took."""
