"""Formats the output of `comment`: the comment's text, the status of the commit, and the last lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.act.result import gravity
from builder.errors import BuilderError, ExitCode
from builder.model import JsonObject
from builder.plain_text import log_line
from builder.plan.format import green_count
from builder.report.console import Console
from builder.report.ending import verdict_line
from builder.report.markdown import code
from builder.report.run_report import browser_url

MARKER = "<!-- notebook-builder: this comment is replaced by the next run -->"
MAX_CHARACTERS = 65_000  # GitHub takes 65,536
_FENCE = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Reported:
    """The run that is reported: its id, its exit code, and the verdict in the words of a commit's status.

    `address` is the https address of its report, or of its build's log if it has no report.
    """

    run: str
    exit_code: int
    description: str
    address: str

    @property
    def passed(self) -> bool:
        """True if the run ended with exit code 0, and so its build step was green."""
        return self.exit_code == ExitCode.GREEN


def reported(run: str, summary: JsonObject, folder: str) -> Reported:
    """Return the facts in the summary of this run. `folder` is the gs:// address of its reports.

    Raises KeyError, TypeError and ValueError if it is no summary.
    """
    jobs, code = summary["jobs"], int(summary["exit_code"])
    green = sum(job["verdict"] == "green" for job in jobs)
    unconfirmed = "; clean-up is not confirmed" if code == ExitCode.CLEANUP_UNCONFIRMED else ""
    description = f"{green_count([job['notebook'] for job in jobs], green)}{unconfirmed}"
    return Reported(run, code, description, browser_url(f"{folder}/index.html"))


def gravest(runs: Sequence[Reported]) -> Reported | None:
    """Return the last run with the gravest exit code; None without any."""
    return max(reversed(runs), key=lambda run: gravity(run.exit_code), default=None)


def not_judged(run: str, address: str) -> Reported:
    """Return the facts of a run that left no summary of this commit: it is reported as red."""
    return Reported(
        run, ExitCode.BAD_INPUT, "the notebooks were not judged; see the log of the build", address
    )


def short_summary(run: Reported) -> str:
    """Return the text of the comment on a run without a summary.md."""
    mark, word = ("✅", "GREEN") if run.passed else ("❌", "RED")
    return f"### {mark} {word}: {run.description}\n\n[report or log]({run.address}) · run {code(run.run)}\n"


def comment_text(summary: str, report: str) -> str:
    """Return the comment with this summary, cut at the end of a line if a comment cannot be so long."""
    text = f"{MARKER}\n{summary}"
    if len(text) <= MAX_CHARACTERS:
        return text
    return "\n".join(_beginning(text.splitlines(), f"… The rest is in the [report]({report})."))


def _beginning(lines: Sequence[str], rest: str) -> Iterator[str]:
    """Yield the first lines that fit, the end of a code block that they leave open, and the last line."""
    room = MAX_CHARACTERS - len(rest) - 100  # the end of a block, and line ends
    fence = ""
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        yield line
        if mark := _FENCE.match(line):
            fence = "" if fence == mark[0] else fence or mark[0]
    yield from (fence, "", rest) if fence else ("", rest)


def ended(console: Console, run: Reported, errors: Sequence[BuilderError]) -> None:
    """Print the last lines, with what the forge refused."""
    for error in errors:
        console.line(log_line(error.message))
        console.line(f"  do: {log_line(error.advice)}")
    ending = exit_code(run, errors)
    word = "RED" if ending else "GREEN"
    what = f"run {log_line(run.run)}: {run.description}"
    if run.passed and errors:
        what = f"{what}, but the pull request does not say so"
    meaning = "as the run" if run.exit_code else None
    verdict_line(console, word, what, ending, meaning)
    console.line(f"report: {run.address}")


def exit_code(run: Reported, errors: Sequence[BuilderError]) -> int:
    """Return the exit code of the run, so that it decides on the build; of a green run that of the first refusal."""
    return run.exit_code or (errors[0].exit_code if errors else ExitCode.GREEN)
