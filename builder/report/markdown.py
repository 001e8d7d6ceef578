"""summary.md: what a pull request comment shows of a run. At most 60,000 characters; GitHub takes 65,536."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.act.result import JobResult, color
from builder.model import CellFailure
from builder.plain_text import one_line
from builder.plan.format import duration, green_count
from builder.report.run_report import RunReport, browser_url, excerpt

MAX_CHARACTERS = 60_000
_MAX_FAILURES = 20
_TICKS = re.compile(r"`+")


def render_markdown(report: RunReport) -> bytes:
    """Return the summary: the verdict, the red notebooks with their reasons, and a table of all."""
    text = ""
    for block in _blocks(report):
        if len(text) + len(block) > MAX_CHARACTERS:
            text += f"\n… The rest is in the [report]({browser_url(report.folder + '/index.html')}).\n"
            break
        text += block + "\n"
    return text.encode()


def _blocks(report: RunReport) -> Iterator[str]:
    result = report.result
    red = [job for job in result.jobs if not job.verdict.green]
    mark = "✅" if result.green else "❌"
    count = green_count([job.notebook for job in result.jobs], len(result.jobs) - len(red))
    yield f"### {mark} {result.color.upper()}: {count}, after {duration(result.seconds)}\n"
    yield f"{' · '.join(_origin(report))}\n"
    if result.trouble:
        yield f"{code(result.trouble)}\n"
    for job in red[:_MAX_FAILURES]:
        yield _failure(job)
    if len(red) > _MAX_FAILURES:
        yield f"… and {len(red) - _MAX_FAILURES} more in red.\n"
    yield "| notebook | verdict | time | results |\n| --- | --- | --- | --- |"
    yield from (_row(job) for job in (*red, *(job for job in result.jobs if job.verdict.green)))


def _origin(report: RunReport) -> Iterator[str]:
    yield f"[report]({browser_url(report.folder + '/index.html')})"
    yield f"run {code(report.result.run)}"
    if report.commit:
        yield f"commit {code(report.commit[:12])}"
    if report.day:
        yield f"scheduled for {report.day}"


def _failure(job: JobResult) -> str:
    verdict = job.verdict
    lines = [f"**{code(job.job)}**: {code(one_line(verdict.message))}\n"]
    if verdict.failure is not None and verdict.failure.source.strip():
        lines.append(fence("\n".join(_source(verdict.failure)), "text"))
    if verdict.advice:
        lines.append(f"{code(one_line(verdict.advice))}\n")
    return "\n".join(lines)


def _source(failure: CellFailure) -> Iterator[str]:
    """Yield the lines of the cell around the one that failed, each with its number."""
    for number, text, failed in excerpt(failure):
        yield f"{'>' if failed else ' '} {number:3}  {text[:200]}"


def _row(job: JobResult) -> str:
    verdict = job.verdict
    green = f"green, reused from {code(job.reused.run)}" if job.reused else "green"
    word = green if verdict.green else f"**{color(verdict)}** ({one_line(verdict.reason, 40)})"
    cell = code(job.job).replace("|", "\\|")  # also within code, a bar ends a table's cell
    return f"| {cell} | {word} | {duration(job.seconds)} | {_links(job)} |"


def _links(job: JobResult) -> str:
    if not job.output:
        return ""
    names = [f"{job.name}.html", f"{job.name}.ipynb", "run.log"]
    labels = {f"{job.name}.html": "page", f"{job.name}.ipynb": "notebook", "run.log": "log"}
    there = [name for name in names if name in job.files or name == "run.log"]
    return " · ".join(f"[{labels[name]}]({browser_url(job.output + name)})" for name in there)


def code(text: str) -> str:
    """Return the text as an inline code span, in which Markdown, HTML and mentions have no meaning."""
    plain_text = one_line(text) or " "
    ticks = "`" * (max((len(run) for run in _TICKS.findall(plain_text)), default=0) + 1)
    pad = " " if plain_text.startswith("`") or plain_text.endswith("`") else ""
    return f"{ticks}{pad}{plain_text}{pad}{ticks}"


def fence(text: str, language: str) -> str:
    """Return the text as a fenced code block whose fence is longer than any run of backticks in it."""
    ticks = "`" * max(3, max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}\n"
