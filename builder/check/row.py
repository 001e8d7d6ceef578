"""One line of the preflight's table, and the exit code that follows from all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum

from builder.errors import ExitCode
from builder.model import JsonObject


class State(Enum):
    """How a question was answered. NO: not here, but another place that the plan allows will do."""

    OK = "ok"
    NO = "no"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """What was looked at and where, what was found, and the command that mends it. `code` is what a FAIL counts as."""

    what: str
    where: str
    state: State
    found: str
    fix: str = ""
    code: ExitCode = ExitCode.GREEN

    def described(self) -> JsonObject:
        """The row as `check --format json` prints it."""
        return {**asdict(self), "state": self.state.value, "code": int(self.code)}


def ok(what: str, where: str, found: str) -> Row:
    """A row that is as it should be."""
    return Row(what, where, State.OK, found)


def unknown(what: str, where: str, found: str, fix: str = "") -> Row:
    """A row that could not be told from here; `fix` shows or allows it."""
    return Row(what, where, State.UNKNOWN, found, fix)


def fail(what: str, where: str, found: str, fix: str, code: ExitCode = ExitCode.PROJECT_SETUP) -> Row:
    """A row that a run would end with."""
    return Row(what, where, State.FAIL, found, fix, code)


# The gravest first: what one of them is about, the later ones may hang on.
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
