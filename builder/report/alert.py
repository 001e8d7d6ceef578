"""The Pub/Sub message on a scheduled run that ended red, or green with a VM left. Nobody watches such a build."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from builder.act.result import RunResult
from builder.errors import BuilderError, ExitCode
from builder.model import JsonObject
from builder.ports import CallFailed
from builder.report.ending import left_lines

BUDGET = 30.0  # seconds for the message with all its repetitions: the run's last lines wait for it
_MAX_REASON = 2_000  # characters of one reason; the report has all of it


@dataclass(frozen=True)
class Alert:
    """Publishes to a topic, `projects/P/topics/T`. `today`: the day that the run is for; None if it is not known.

    A message that cannot be published is a warning, and changes no verdict.
    """

    publish: Callable[[str, bytes], None]
    topic: str
    event: str | None
    today: date | None
    warn: Callable[[str], None]

    def ended(self, result: RunResult) -> None:
        """Publish how the run ended, unless its exit code is 0."""
        if result.exit_code is ExitCode.GREEN:
            return
        jobs = [
            {"job": job.job, "reason": job.verdict.reason, "message": _cut(job.verdict.message)}
            for job in result.jobs
            if not job.verdict.green
        ]
        ending = self._ending(result.run, result.exit_code, jobs)
        self._publish({**ending, "report": result.report, "left": list(left_lines(result.left))})

    def failed(self, run: str, error: BuilderError) -> None:
        """Publish that the run as a whole could not begin, or not go on, as when another run has its event."""
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
            self.publish(self.topic, json.dumps(document, ensure_ascii=False).encode())
        except CallFailed as failure:
            self.warn(f"the alert on this run could not be published: {failure}")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]} [cut]"
