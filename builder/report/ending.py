"""The last lines of each command: verdict, reason, what to do, where the results are, and what was left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from builder.act.result import Abandoned, Duplicate, JobResult, LeftVm, RunResult, color
from builder.errors import BadInput, BuilderError, ExitCode
from builder.plain_text import log_line
from builder.plan.format import duration, green_count
from builder.report.console import Console
from builder.report.run_report import browser_url

_BAR = "-" * 72
_MEANING = {
    ExitCode.NOTEBOOK_FAILED: "a notebook failed",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.NO_CAPACITY: "no capacity or quota",
    ExitCode.PROJECT_SETUP: "the project's set-up",
    ExitCode.TIME_LIMIT: "a time limit was reached",
    ExitCode.ENVIRONMENT_FAILED: "the run environment failed",
    ExitCode.CLEANUP_UNCONFIRMED: "green, but clean-up is not confirmed",
    ExitCode.BUG: "a bug of Notebook Builder",
}


def verdict_line(console: Console, word: str, what: str, code: int, meaning: str | None = None) -> None:
    """Print the bar and the verdict. `meaning` replaces what the exit code normally means."""
    if meaning is None and code in set(ExitCode):
        meaning = _MEANING.get(ExitCode(code))
    console.line(_BAR)
    ending = f"exit code {int(code)}{f': {meaning}' if meaning else ''}"
    console.line(f"verdict: {word}, {console.schedule}{what} ({ending})")


def finished(console: Console, result: RunResult) -> None:
    """Print the last lines of a run whose jobs are judged."""
    jobs = result.jobs
    count = green_count([job.notebook for job in jobs], sum(job.verdict.green for job in jobs))
    verdict_line(console, result.color.upper(), count, result.exit_code)
    # The red ones last: where people look first.
    for job in sorted(jobs, key=lambda item: not item.verdict.green):
        _job_lines(console, job)
    if result.page or result.report:
        console.line(f"report: {result.page or result.report}")
    if result.page:
        console.line(f"        {browser_url(result.page)}")
    left_behind(console, result.left)


def _job_lines(console: Console, job: JobResult) -> None:
    verdict = job.verdict
    tries = f", attempt {job.attempts}" if job.attempts > 1 else ""
    why = "" if verdict.green else f" ({log_line(verdict.reason)})"
    console.line(f"  {job.job}: {color(verdict).upper()} after {duration(job.seconds)}{tries}{why}")
    for number, line in enumerate(verdict.message.splitlines()):
        console.line(f"    {'' if number else 'reason:':9} {log_line(line)}")
    if verdict.advice:
        console.line(f"    do:       {log_line(verdict.advice)}")
    if job.output:
        if f"{job.name}.html" in job.files:
            console.line(f"    page:     {job.output}{job.name}.html")
        if job.has_notebook:
            console.line(f"    notebook: {job.output}{job.name}.ipynb")
        if any(name.startswith("outputs/") for name in job.files):
            console.line(f"    outputs:  {job.output}outputs/")
        console.line(f"    log:      {job.output}run.log")


def duplicate(console: Console, found: Duplicate, *, again: str) -> None:
    """Print the last lines of a run whose event another run has.

    `again`: the command that publishes the message again.
    """
    what = f"duplicate of {log_line(found.run)}"
    if found.red:
        verdict_line(console, "RED", f"{what}, which was red", found.exit_code, meaning="")
    else:
        what = f"{what} ({log_line(found.verdict) or 'still running'})"
        verdict_line(console, "GREEN", what, found.exit_code)
    console.line(f"  nothing was run: the other run has the event ({found.event})")
    if found.red:
        console.line(f"  do: An event is carried out once. To run the same again, publish a new one: {again}")
    left_behind(console, ())


def failed(console: Console, error: BuilderError, *, left: Iterable[LeftVm] = ()) -> None:
    """Print the last lines of a command that an error ended before its work began."""
    what = error.reason.replace("_", " ")
    if isinstance(error, BadInput):
        count = len(error.problems)
        what = f"{count} mistake{'s' if count != 1 else ''} found before any call"
    verdict_line(console, "RED", what, error.exit_code)
    _error_lines(console, error)
    left_behind(console, left)


def refused(error: BuilderError, *, of_event: bool = False) -> None:
    """Print to stderr all mistakes in the input, so that a program can read the plan from stdout.

    `of_event`: of a scheduled run.
    """
    console = Console(sys.stderr)
    if of_event:
        console.mark_scheduled(None)
    failed(console, error)


def cancelled(console: Console, code: int) -> None:
    """Print the last lines of a command that a signal ended before it asked for any VM."""
    verdict_line(console, "RED", "cancelled by a signal", code)
    left_behind(console, ())


def abandoned(console: Console, run: Abandoned) -> None:
    """Print the last lines of a run that a signal ended while its jobs were at work, or an error of the run itself."""
    error = run.error
    what = error.reason.replace("_", " ") if error else "cancelled by a signal"
    verdict_line(console, "RED", what, run.exit_code)
    if error:
        _error_lines(console, error)
    for vm in run.deleting:
        console.line(
            f"  VM {vm.name} in {vm.zone}: deletion accepted. Its own deadline is at most {vm.max_run_seconds} s after its start."
        )
    left_behind(console, run.left)


def _error_lines(console: Console, error: BuilderError) -> None:
    for line in error.message.splitlines():
        console.line(f"  {log_line(line)}")
    if error.advice:
        console.line(f"  do: {log_line(error.advice)}")


def left_behind(console: Console, left: Iterable[LeftVm]) -> None:
    """Print which VMs may still exist, until when, and how to delete them."""
    for line in left_lines(left) or ["nothing"]:
        console.line(f"left behind: {line}")


def left_lines(left: Iterable[LeftVm]) -> Sequence[str]:
    """For each VM that may still exist: until when, and the command that deletes it."""
    return [f"VM {vm.name} in {vm.zone}, {_until(vm)}. To delete it now: {vm.delete_command}" for vm in left]


def _until(vm: LeftVm) -> str:
    """The VM's deadline, as far as Compute Engine has confirmed it.

    A VM that stopped has none, and its disk is billed.
    """
    if vm.terminates:
        return f"until {vm.terminates}"
    return f"deadline not confirmed: Google deletes it at most {vm.max_run_seconds} s after its start, but not if it has stopped"
