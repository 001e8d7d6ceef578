"""The build log: the only module that prints.

No notebook can forge these lines: what a notebook wrote has no control bytes, and follows its job's name and a bar.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TextIO

from builder import __version__
from builder.act.result import color
from builder.model import CellFailure, JsonObject, Verdict
from builder.plain_text import log_line, plain
from builder.plan.build_plan import Plan
from builder.plan.format import counted, duration
from builder.report.run_report import excerpt

_CELL = re.compile(r"cell ([0-9]+)/[0-9]+ ")  # how the runner's line about a cell begins


class Console:
    """Lines of the build log, an `act.progress.ProgressReporter`.

    Any thread may call any method; a line is written whole. `schedule` is what the verdict begins with in a scheduled
    run, such as "scheduled for 2018-04-01, ", else "". The alerts in docs/deploy.md look for it. `structured`: each
    line is JSON, with the fields that Cloud Logging knows.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._width = 0  # of the longest job name
        self.schedule = ""
        self.structured = False

    def mark_scheduled(self, day: date | None) -> None:
        """Let the verdict say from now on that the run is scheduled, and for which day if that is known."""
        self.schedule = f"scheduled for {day}, " if day else "scheduled, "

    def began(self, plan: Plan, *, run: str, project: str) -> None:
        """Print the first lines of a run: its id, its results, how much there is to do, and how long it may last."""
        self._width = max((len(job.job) for job in plan.jobs), default=0)
        self.line(f"notebook-builder {__version__}: run {run} in project {project}, {plan.location.url()}")
        if plan.scheduled:
            self.line(f"scheduled, for {plan.today}")
        count, worst = len(plan.jobs), plan.worst_case_seconds
        together = f", {min(count, plan.concurrency)} at a time" if count > 1 else ""
        limit = (
            "longer than any build may last"
            if plan.exceeds_longest_build
            else "which the build's own timeout must exceed"
        )
        notebooks = counted([job.notebook.path for job in plan.jobs])
        self.line(f"{notebooks}{together}; at most {worst} s ({duration(worst)}), {limit}")

    def line(self, text: str = "") -> None:
        """Print a line about the run as a whole."""
        self._print(text, text)

    def _print(self, text: str, message: str, **fields: object) -> None:
        """Print `text`, or, if the log is structured, `message` with these fields."""
        if self.structured:
            known = {name: value for name, value in fields.items() if value is not None}
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            severity = _severity(message)
            document = {"severity": severity, "message": message, **known, "time": time}
            text = json.dumps(document, ensure_ascii=False)
        with self._lock:
            print(text, file=self._stream, flush=True)

    def _of_job(self, job: str, text: str, **fields: object) -> None:
        """Print one line about a job."""
        self._print(f"{job:{self._width}}  {text}", text.strip(), job=job, **fields)

    def report(self, job: str, text: str) -> None:
        """Print a state change of a job."""
        for number, part in enumerate(text.splitlines()):
            self._of_job(job, f"{'' if number == 0 else '  '}{log_line(part)}")

    def relay(self, job: str, line: str) -> None:
        """Print a line of the VM's log: `#` marks the runner's lines, the others are the notebook's."""
        mark, text = line[:1], line[1:].removeprefix(" ")
        if mark == "#":
            cell = _CELL.match(text)
            self._of_job(job, log_line(text), cell=int(cell[1]) if cell else None)
        else:
            self._quote(job, text if mark == "|" else line)

    def judged(self, job: str, verdict: Verdict, seconds: float) -> None:
        """Print the verdict on a job, and where and why it failed."""
        self.report(job, f"{color(verdict).upper()} after {duration(seconds)}: {verdict.message}")
        if verdict.failure is not None:
            for text in _failure_lines(verdict.failure):
                self._quote(job, text)
        if verdict.advice:
            self.report(job, verdict.advice)

    def _quote(self, job: str, text: str) -> None:
        """Print what a notebook wrote, behind a bar that the builder's own lines never have."""
        shown = log_line(text)
        if self.structured:
            self._print("", shown, job=job, source="notebook", severity="INFO")
        else:
            self.line(f"{job:{self._width}}  | {shown}")


def _severity(message: str) -> str:
    """Return the severity of a line of ours, as Cloud Logging names it."""
    if message.startswith(("RED ", "verdict: RED")):
        return "ERROR"
    return "WARNING" if message.startswith("warning: ") else "INFO"


def _failure_lines(failure: CellFailure) -> Iterable[str]:
    """The failing cell around the marked line. The log before it has the traceback."""
    lines = excerpt(failure)
    before = lines[0][0] - 1 if lines else 0
    after = len(plain(failure.source).splitlines()) - before - len(lines)
    if before:
        yield f"      … {before} lines"
    for number, text, failed in lines:
        yield f"{'>' if failed else ' '} {number:3}  {text}"
    if after:
        yield f"      … {after} lines"


def warn(text: str) -> None:
    """Print to stderr something that deserves a look and stops nothing."""
    Console(sys.stderr).line(f"warning: {log_line(text)}")


def print_document(text: str) -> None:
    """Print a whole document to stdout, unchanged but for a newline at its end."""
    print(text, end="" if text.endswith("\n") else "\n")


def print_json(value: JsonObject) -> None:
    """Print a value for programs to stdout."""
    print_document(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
