"""The only module that prints. A log that a stranger can follow, and last lines that say all that matters.

No notebook can forge these lines: whatever comes from a VM is stripped of control bytes and stands behind its job's
name and a bar.
"""

from __future__ import annotations

import json
import sys
import threading
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from builder import __version__
from builder.act.fleet import Ending, Vm
from builder.act.result import JobResult
from builder.errors import BuilderError, ExitCode
from builder.model import CellFailure, JsonObject, Verdict
from builder.plan.make import Plan

_BAR = "-" * 72
_LONGEST_LINE = 2_000


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
            self.line(f"{job:{self._width}}  | {printable(text if mark == '|' else line)}")

    def judged(self, job: str, verdict: Verdict, seconds: float) -> None:
        """The verdict on a job, with where and why it failed."""
        word = "GREEN" if verdict.green else "RED"
        self.say(job, f"{word} after {seconds:.1f} s: {verdict.message}")
        if verdict.failure is not None:
            for text in _failure_lines(verdict.failure):
                self.relay(job, f"# {text}")
        if verdict.advice:
            self.say(job, verdict.advice)


def _failure_lines(failure: CellFailure) -> list[str]:
    lines = [f"cell {failure.cell} of {failure.cells}:"]
    for number, source in enumerate(failure.source.splitlines(), start=1):
        lines.append(f"  {'>' if number == failure.line else ' '} {number:3} {source}")
    lines.append(failure.error)
    lines.extend(f"    {text}" for text in failure.traceback.splitlines())
    return lines


def opening(console: Console, plan: Plan, *, run: str, project: str) -> None:
    """The first lines of a run: what is about to happen, and for how long at the most."""
    console.align([job.job for job in plan.jobs])
    count = len(plan.jobs)
    console.line(f"notebook-builder {__version__}: run {run} in project {project}, {plan.location.url()}")
    console.line(
        f"{count} notebook{'s' if count != 1 else ''}, {min(count, plan.concurrency)} at a time; "
        f"worst case {plan.worst_case_seconds} s, which the build's own timeout must exceed"
    )


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
    console.line(_BAR)
    console.line(f"verdict: {_word(code)}, {green} of {len(results)} notebooks green (exit code {int(code)})")
    for result in results:
        _tell_result(console, result)
    if report:
        console.line(f"report: {report}")
    left_behind(console, left, project=project)


def _word(code: ExitCode) -> str:
    return "GREEN" if code in {ExitCode.GREEN, ExitCode.CLEANUP_UNCONFIRMED} else "RED"


def _tell_result(console: Console, result: JobResult) -> None:
    verdict = result.verdict
    console.line(f"  {result.job}: {'green' if verdict.green else 'red'}, {verdict.reason}")
    if not verdict.green:
        for line in verdict.message.splitlines():
            console.line(f"    why:      {printable(line)}")
        if verdict.advice:
            console.line(f"    do:       {printable(verdict.advice)}")
    if result.output:
        if result.has_notebook:
            console.line(f"    notebook: {result.output}{result.name}.ipynb")
        console.line(f"    log:      {result.output}run.log")


def left_behind(console: Console, left: Sequence[Vm], *, project: str) -> None:
    """Which VMs could not be confirmed gone, until when they live, and how to delete them."""
    if not left:
        console.line("left behind: nothing")
        return
    for vm in left:
        until = f"until {vm.terminates}" if vm.ending is Ending.DEADLINE else _at_most(vm)
        console.line(f"left behind: VM {vm.name} in {vm.zone}, {until}; {vm.delete_command(project)}")


def _at_most(vm: Vm) -> str:
    return f"at most {vm.max_run_seconds} s after its start, its own deadline"


def warning(text: str) -> None:
    """Something worth a look that stops nothing; to stderr."""
    Console(sys.stderr).line(f"warning: {printable(text)}")


def document(text: str) -> None:
    """A document of ours, as it is."""
    print(text, end="" if text.endswith("\n") else "\n")


def refused(error: BuilderError) -> None:
    """All mistakes in what the user gave, to stderr, so that a plan on stdout stays readable for programs."""
    console = Console(sys.stderr)
    for line in error.message.splitlines():
        console.line(printable(line))
    console.line(f"verdict: RED, {error.reason} (exit code {int(error.exit_code)})")
    if error.advice:
        console.line(f"do: {error.advice}")


def failed(console: Console, error: BuilderError, *, left: Sequence[Vm] = (), project: str = "") -> None:
    """A run that ended before its jobs began."""
    console.line(_BAR)
    console.line(f"verdict: RED, {error.reason} (exit code {int(error.exit_code)})")
    for line in error.message.splitlines():
        console.line(f"  why: {printable(line)}")
    if error.advice:
        console.line(f"  do:  {printable(error.advice)}")
    left_behind(console, left, project=project)


def cancelled(console: Console, code: int, *, left: Sequence[Vm], sent: Sequence[Vm], project: str) -> None:
    """The last lines after a signal."""
    console.line(_BAR)
    console.line(f"verdict: RED, cancelled by a signal (exit code {code})")
    for vm in sent:
        console.line(f"  VM {vm.name} in {vm.zone}: deletion accepted; at the latest it ends {_at_most(vm)}")
    left_behind(console, left, project=project)


def show_plan(description: JsonObject, *, as_json: bool) -> None:
    """The plan, for people or as JSON."""
    if as_json:
        print(json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False))
        return
    console = Console()
    console.line(f"run {description['run']} in project {description['project']}, {description['location']}")
    for job in description["jobs"]:
        console.line(f"\n{job['job']}: {job['notebook']}")
        for key in (
            "parameters",
            "expect",
            "kernel",
            "zones",
            "image",
            "timeout",
            "cell_timeout",
            "boot_timeout",
        ):
            console.line(f"  {key:20} {_plain(job[key])}")
        console.line(f"  {'machine':20} {job['instance']['machineType'].rpartition('/')[2]}")
        console.line(f"  {'VM deadline':20} {job['vm_deadline_seconds']} s after its start")
        console.line(f"  {'attempts':20} at most {job['max_attempts']}")
        console.line(
            f"  {'files':20} {len(job['files'])}: {', '.join(job['files'][:5])}{_more(job['files'])}"
        )
        console.line(f"  {'output':20} {job['output']}")
    console.line(
        f"\nworst case: {description['worst_case_seconds']} s; the build's own timeout must exceed it"
    )


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else "none"
    return "none" if value is None else str(value)


def _more(files: Sequence[str]) -> str:
    shown = 5
    return f" and {len(files) - shown} more" if len(files) > shown else ""
