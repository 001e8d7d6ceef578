"""One row of the preflight's table, and the exit code that follows from all rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from builder.errors import ExitCode


class State(Enum):
    """The state of a row. NO: not in this zone or region, but another one that the plan allows is enough."""

    OK = "ok"
    NO = "no"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """A check, its place, its finding, and the command that fixes it. `code`: the exit code that a FAIL means."""

    what: str
    where: str
    state: State
    found: str
    fix: str = ""
    code: ExitCode = ExitCode.GREEN


def ok(what: str, where: str, found: str) -> Row:
    """A row without a problem."""
    return Row(what, where, State.OK, found)


def unknown(what: str, where: str, found: str, fix: str = "") -> Row:
    """A row that this account cannot check; `fix` shows it, or gives the permission to see it."""
    return Row(what, where, State.UNKNOWN, found, fix)


def fail(what: str, where: str, found: str, fix: str, code: ExitCode = ExitCode.PROJECT_SETUP) -> Row:
    """A row that a run would end with."""
    return Row(what, where, State.FAIL, found, fix, code)


# The gravest first: the later ones can depend on it.
_GRAVITY = (
    ExitCode.PROJECT_SETUP,
    ExitCode.BAD_INPUT,
    ExitCode.NO_CAPACITY,
    ExitCode.ENVIRONMENT_FAILED,
)


def exit_code(rows: Iterable[Row]) -> ExitCode:
    """GREEN when no row failed, else the gravest of the failed ones."""
    codes = {row.code for row in rows if row.state is State.FAIL}
    return next((code for code in _GRAVITY if code in codes), ExitCode.GREEN)
