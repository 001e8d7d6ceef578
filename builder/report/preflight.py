"""The preflight's table, for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from builder.check.findings import Findings
from builder.check.row import Row, State
from builder.errors import ExitCode
from builder.model import JsonObject
from builder.plain_text import log_line
from builder.report.console import Console
from builder.report.ending import verdict_line


def show_preflight(console: Console, found: Findings, *, boots: bool = False) -> None:
    """Print the table, and whether the plan can run. `boots` says that a VM is started if it can."""
    who = found.account or "the credentials in use"
    changes = "these checks change nothing, then --boot starts a VM" if boots else "nothing is changed"
    console.line(f"check as {who} in project {found.project}, {found.location}; {changes}")
    width = max(len(row.what) for row in found.rows)
    for row in found.rows:
        console.line(f"{row.state.value:8}{row.what:{width}}  {log_line(f'{row.where}: {row.found}')}")
        if row.fix:
            console.line(f"{'':8}{'':{width}}  do: {log_line(row.fix)}")
    counts = ", ".join(f"{found.count(state)} {state.value}" for state in State if found.count(state))
    green = found.exit_code is ExitCode.GREEN
    what = f"this plan {'can' if green else 'cannot'} run: {counts}"
    verdict_line(console, "GREEN" if green else "RED", what, found.exit_code)


def show_missing(console: Console, missing: Iterable[tuple[str, str]], command: str) -> None:
    """Print what a project lacks, each with the command that adds it, and the command that makes all of it.

    Nothing, if it lacks nothing.
    """
    found = list(missing)
    if not found:
        return
    console.line("the project lacks what a run or a deployment needs:")
    for what, fix in found:
        console.line(f"  missing: {log_line(what)}")
        console.line(f"    do:    {log_line(fix)}")
    console.line(f"  all at once, in a checkout of Notebook Builder: {log_line(command)}")


def preflight_json(found: Findings) -> JsonObject:
    """Return the document that `check --format json` prints."""
    return {
        "schema": 1,
        "project": found.project,
        "account": found.account,
        "location": found.location,
        "exit_code": int(found.exit_code),
        "rows": [_row_json(row) for row in found.rows],
    }


def _row_json(row: Row) -> JsonObject:
    return {**asdict(row), "state": row.state.value, "code": int(row.code)}
