"""Tells a Pub/Sub topic of a scheduled run that ended red, or green with a VM left: nobody looks at a build that nobody started."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from builder.act.result import JobResult
from builder.errors import BuilderError, ExitCode
from builder.model import JsonObject
from builder.ports import CallFailed, Messages

BUDGET = 30.0  # seconds for the message with all its repetitions: the run's last lines wait for it
_LONGEST = 2_000  # characters of one reason; the report has all of it


@dataclass(frozen=True)
class Alert:
    """Whom to tell, and of what: `topic` is a path; `today` is None where the run's day could not be told.

    A message that cannot be published is a warning, and changes no verdict.
    """

    messages: Messages
    topic: str
    event: str | None
    today: date | None
    tell: Callable[[str], None]

    def ended(
        self, run: str, results: Sequence[JobResult], code: ExitCode, *, report: str, left: Sequence[str]
    ) -> None:
        """The run has ended so; any end but exit code 0 is told.

        `report` is the address of its summary; `left` says of each VM whose end is not confirmed how to delete it.
        """
        if code is ExitCode.GREEN:
            return
        red = [result for result in results if not result.verdict.green]
        jobs = [
            {"job": result.job, "reason": result.verdict.reason, "message": _cut(result.verdict.message)}
            for result in red
        ]
        self._publish({**self._ending(run, code, jobs), "report": report, "left": list(left)})

    def failed(self, run: str, error: BuilderError) -> None:
        """The run as a whole could not begin, or not go on, as where its event is another run's."""
        why = {"reason": error.reason, "message": _cut(error.message)}
        self._publish({**self._ending(run, error.exit_code, []), **why, "report": "", "left": []})

    def _ending(self, run: str, code: ExitCode, jobs: Sequence[JsonObject]) -> JsonObject:
        return {
            "schema": 1,
            "run": run,
            "event": self.event,
            "today": self.today and self.today.isoformat(),
            "verdict": "green" if code is ExitCode.CLEANUP_UNCONFIRMED else "red",
            "exit_code": int(code),
            "jobs": list(jobs),
        }

    def _publish(self, document: JsonObject) -> None:
        try:
            self.messages.publish(self.topic, json.dumps(document, ensure_ascii=False).encode())
        except CallFailed as failure:
            self.tell(f"nobody could be told of this run: {failure}")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [cut]"
