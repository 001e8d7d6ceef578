"""The only module that prints. A log that a stranger can follow, and last lines that say all that matters.

No notebook can forge these lines: whatever a notebook wrote is stripped of control bytes and stands behind its job's
name and a bar.
"""

from __future__ import annotations

import json
import sys
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TextIO

from builder import __version__
from builder.act.event_lock import Holder
from builder.act.fleet import Ending, Vm
from builder.act.result import JobResult
from builder.check.findings import Findings
from builder.check.row import State
from builder.errors import BadInput, BuilderError, ExitCode
from builder.model import CellFailure, JsonObject, Verdict
from builder.plan.make import Plan
from builder.plan.text import counted, duration, plan_lines

_BAR = "-" * 72
_LONGEST_LINE = 2_000
_SOURCE_AROUND = 6  # lines of a cell's source shown above and below the one that failed

_MEANING = {
    ExitCode.NOTEBOOK_FAILED: "a notebook failed",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.NO_CAPACITY: "no capacity or quota",
    ExitCode.PROJECT_SETUP: "the project's set-up",
    ExitCode.TIME_LIMIT: "a time limit was reached",
    ExitCode.ENVIRONMENT_FAILED: "the run environment failed",
    ExitCode.CLEANUP_UNCONFIRMED: "green, but clean-up is not confirmed",
    ExitCode.BUG: "a bug of ours",
}


def printable(text: str) -> str:
    """The text on one line without control, format and separator characters; tabs stay."""
    kept = "".join(
        char if char == "\t" or unicodedata.category(char) not in _UNSAFE else " " for char in text
    )
    return kept if len(kept) <= _LONGEST_LINE else f"{kept[:_LONGEST_LINE]} [cut]"


# Controls, formats (bidi overrides among them), surrogates, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Console:
    """The build log. Every method may be called from any thread; a line is written whole."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._width = 0
        self.scheduled = (
            ""  # what the verdict begins with where nobody watches: alerts look for it (docs/deploy.md)
        )

    def align(self, jobs: Sequence[str]) -> None:
        """Make room for the longest of these job names."""
        self._width = max((len(job) for job in jobs), default=0)

    def line(self, text: str = "") -> None:
        """A line of ours that belongs to the run as a whole."""
        with self._lock:
            print(text, file=self._stream, flush=True)

    def say(self, job: str, text: str) -> None:
        """A state change of a job, in our words."""
        for number, part in enumerate(text.splitlines()):
            self.line(f"{job:{self._width}}  {'' if number == 0 else '  '}{printable(part)}")

    def relay(self, job: str, line: str) -> None:
        """A line of the VM's log: `#` lines are the runner's, all else is the notebook's."""
        mark, text = line[:1], line[1:].removeprefix(" ")
        if mark == "#":
            self.line(f"{job:{self._width}}  {printable(text)}")
        else:
            self._quote(job, text if mark == "|" else line)

    def judged(self, job: str, verdict: Verdict, seconds: float) -> None:
        """The verdict on a job, with where and why it failed."""
        self.say(job, f"{_color(verdict)} after {duration(seconds)}: {verdict.message}")
        if verdict.failure is not None:
            for text in _failure_lines(verdict.failure):
                self._quote(job, text)
        if verdict.advice:
            self.say(job, verdict.advice)

    def _quote(self, job: str, text: str) -> None:
        """What a notebook wrote, which nobody shall take for ours."""
        self.line(f"{job:{self._width}}  | {printable(text)}")


def _color(verdict: Verdict) -> str:
    return "GREEN" if verdict.green else "RED"


def _failure_lines(failure: CellFailure) -> Iterable[str]:
    """The failing cell around the marked line, its error, and the traceback where that says more than the mark."""
    source = failure.source.splitlines()
    middle = failure.line or 1
    first = max(1, middle - _SOURCE_AROUND)
    last = min(len(source), middle + _SOURCE_AROUND)
    if first > 1:
        yield f"      … {first - 1} lines"
    for number in range(first, last + 1):
        yield f"{'>' if number == failure.line else ' '} {number:3}  {source[number - 1]}"
    if last < len(source):
        yield f"      … {len(source) - last} lines"
    lines = failure.traceback.splitlines()
    frames = sum(line.lstrip().startswith(("Cell In", "Input In", "In [", "File ")) for line in lines)
    if frames > 1 or (lines and failure.line is None):
        yield from lines
    else:
        yield failure.error


def opening(console: Console, plan: Plan, *, run: str, project: str) -> None:
    """The first lines of a run: what is about to happen, and for how long at the most."""
    console.align([job.job for job in plan.jobs])
    count = len(plan.jobs)
    together = min(count, plan.concurrency)
    console.line(f"notebook-builder {__version__}: run {run} in project {project}, {plan.location.url()}")
    if plan.scheduled:
        console.line(f"scheduled, for {plan.today}")
    limit = "which the build's own timeout must exceed"
    if plan.exceeds_longest_build:
        limit = "longer than any build may last"
    console.line(
        f"{counted([job.notebook.path for job in plan.jobs])}{f', {together} at a time' if count > 1 else ''}; "
        f"at most {_whole(plan.worst_case_seconds)}, {limit}"
    )


def _whole(seconds: int) -> str:
    return f"{seconds} s ({duration(seconds)})"


def closing(
    console: Console,
    results: Sequence[JobResult],
    *,
    code: ExitCode,
    report: str,
    left: Sequence[Vm],
    project: str,
) -> None:
    """The last lines of a run: verdict, reasons, what to do, where the results are, what was left behind."""
    green = sum(result.verdict.green for result in results)
    what = "notebooks" if len({result.notebook for result in results}) == len(results) else "jobs"
    count = f"{green} of {len(results)} {what} green"
    _verdict(
        console, "GREEN" if code in {ExitCode.GREEN, ExitCode.CLEANUP_UNCONFIRMED} else "RED", count, code
    )
    # The red ones last: where people look first.
    for result in sorted(results, key=lambda item: not item.verdict.green):
        _tell_result(console, result)
    if report:
        console.line(f"report: {report}")
    left_behind(console, left, project=project)


def scheduled(console: Console, day: date | None) -> None:
    """From now on the verdict says that it is a scheduled run's, and of which day, where that is known."""
    console.scheduled = f"scheduled for {day}, " if day else "scheduled, "


def _verdict(console: Console, word: str, what: str, code: int) -> None:
    meaning = _MEANING.get(ExitCode(code)) if code in set(ExitCode) else None
    console.line(_BAR)
    console.line(
        f"verdict: {word}, {console.scheduled}{what} (exit code {int(code)}{f': {meaning}' if meaning else ''})"
    )


def _tell_result(console: Console, result: JobResult) -> None:
    verdict = result.verdict
    tries = f", attempt {result.attempts}" if result.attempts > 1 else ""
    why = "" if verdict.green else f" ({printable(verdict.reason)})"
    console.line(f"  {result.job}: {_color(verdict)} after {duration(result.seconds)}{tries}{why}")
    for number, line in enumerate(verdict.message.splitlines()):
        console.line(f"    {'' if number else 'reason:':9} {printable(line)}")
    if verdict.advice:
        console.line(f"    do:       {printable(verdict.advice)}")
    if result.output:
        if result.has_notebook:
            console.line(f"    notebook: {result.output}{result.name}.ipynb")
        console.line(f"    log:      {result.output}run.log")


def left_behind(console: Console, left: Sequence[Vm], *, project: str) -> None:
    """Which VMs could not be confirmed gone, until when they live, and how to delete them."""
    for line in left_lines(left, project) or ["nothing"]:
        console.line(f"left behind: {line}")


def left_lines(left: Sequence[Vm], project: str) -> list[str]:
    """Each VM that may still be there: until when, and the command that deletes it."""
    return [
        f"VM {vm.name} in {vm.zone}, "
        f"{f'until {vm.terminates}' if vm.ending is Ending.DEADLINE else _at_most(vm)}; {vm.delete_command(project)}"
        for vm in left
    ]


def _at_most(vm: Vm) -> str:
    return f"at most {vm.max_run_seconds} s after its start, its own deadline"


def warning(text: str) -> None:
    """Something worth a look that stops nothing; to stderr."""
    Console(sys.stderr).line(f"warning: {printable(text)}")


def document(text: str) -> None:
    """A document of ours, as it is."""
    print(text, end="" if text.endswith("\n") else "\n")


def refused(error: BuilderError, *, of_event: bool = False) -> None:
    """All mistakes in what the user gave, to stderr, so that a plan on stdout stays readable for programs.

    `of_event`: an event asked for the run.
    """
    console = Console(sys.stderr)
    if of_event:
        scheduled(console, None)
    failed(console, error)


def failed(console: Console, error: BuilderError, *, left: Sequence[Vm] = (), project: str = "") -> None:
    """A run that ended before its jobs began."""
    what = error.reason.replace("_", " ")
    if isinstance(error, BadInput):
        count = len(error.problems)
        what = f"{count} mistake{'s' if count != 1 else ''} found before any call"
    _verdict(console, "RED", what, error.exit_code)
    _tell_error(console, error)
    left_behind(console, left, project=project)


def _tell_error(console: Console, error: BuilderError) -> None:
    for line in error.message.splitlines():
        console.line(f"  {printable(line)}")
    if error.advice:
        console.line(f"  do: {printable(error.advice)}")


def duplicate(console: Console, holder: Holder, *, event: str, again: str) -> ExitCode:
    """The last lines of a run whose event is another run's, and its exit code: red where that one was red.

    `event` is the address of the object that says whose it is, `again` the command that asks for the same once more.
    """
    of = f"duplicate of {printable(holder.run)}"
    red = holder.verdict == "red"
    code = ExitCode.NOTEBOOK_FAILED if red else ExitCode.GREEN
    if red:
        console.line(_BAR)
        console.line(f"verdict: RED, {console.scheduled}{of}, which was red (exit code {int(code)})")
    else:
        _verdict(console, "GREEN", f"{of} ({printable(holder.verdict) or 'still running'})", code)
    console.line(f"  nothing was run: that run has the event, as {event} says")
    if red:
        console.line(f"  do: An event is carried out once. To run the same again, publish a new one: {again}")
    left_behind(console, [], project="")
    return code


def cancelled(
    console: Console,
    code: int,
    *,
    left: Sequence[Vm],
    sent: Sequence[Vm],
    project: str,
    error: BuilderError | None = None,
) -> None:
    """The last lines after a signal, or where an error ended the run while its jobs were at work."""
    _verdict(console, "RED", error.reason.replace("_", " ") if error else "cancelled by a signal", code)
    if error:
        _tell_error(console, error)
    for vm in sent:
        console.line(f"  VM {vm.name} in {vm.zone}: deletion accepted; at the latest it ends {_at_most(vm)}")
    left_behind(console, left, project=project)


def deployed(console: Console, message: str) -> None:
    """The last lines of a `deploy`."""
    _verdict(console, "GREEN", printable(message.removesuffix(".")), ExitCode.GREEN)


def not_deployed(console: Console, code: int, action: str) -> None:
    """The last lines of a `deploy` after a signal; `action` is what it was to do instead of putting something live."""
    _verdict(console, "RED", "cancelled by a signal", code)
    if action == "rollback":
        advice = "Look at `deploy --status` first: run again, it may go back one step further."
    else:
        command = f"deploy --{action}" if action else "deploy"
        advice = f"Run `{command}` again: it goes on from whatever is there by now."
    console.line(f"  do: {advice}")


def as_json_text(value: JsonObject) -> str:
    """A value for programs."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def preflight(console: Console, found: Findings, *, as_json: bool) -> None:
    """The preflight's table and what follows from it, for people or as JSON."""
    if as_json:
        document(as_json_text(found.described()))
        return
    who = found.account or "the credentials in use"
    console.line(f"check as {who} in project {found.project}, {found.location}; nothing is changed")
    width = max(len(row.what) for row in found.rows)
    for row in found.rows:
        console.line(f"{row.state.value:8}{row.what:{width}}  {printable(f'{row.where}: {row.found}')}")
        if row.fix:
            console.line(f"{'':8}{'':{width}}  do: {printable(row.fix)}")
    counts = ", ".join(f"{found.count(state)} {state.value}" for state in State if found.count(state))
    green = found.exit_code is ExitCode.GREEN
    _verdict(
        console,
        "GREEN" if green else "RED",
        f"this plan {'can' if green else 'cannot'} run: {counts}",
        found.exit_code,
    )


def show_plan(description: JsonObject, *, as_json: bool) -> None:
    """The plan, for people or as JSON."""
    if as_json:
        document(as_json_text(description))
        return
    console = Console()
    for line in plan_lines(description):
        console.line(line)
