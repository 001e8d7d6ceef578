"""One class of error per exit code; each message says what happened, to which resource, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The process's exit codes, fixed: build files branch on them."""

    GREEN = 0
    NOTEBOOK_FAILED = 1
    BAD_INPUT = 2
    NO_CAPACITY = 3
    PROJECT_SETUP = 4
    TIME_LIMIT = 5
    ENVIRONMENT_FAILED = 6
    CLEANUP_UNCONFIRMED = 7
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True)
class Problem:
    """One mistake in what the user gave: where it stands, its value, and the form that would be accepted."""

    variable: str
    value: str
    expected: str

    def __str__(self) -> str:
        shown = f" is {self.value!r}" if self.value else ""
        return f"{self.variable}{shown}: {self.expected}"


class BuilderError(Exception):
    """What ends a run other than green; `exit_code` says of which kind, `advice` what to do about it."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, reason: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.advice = advice


class NotStarted(BuilderError):
    """A job that was not started, since another notebook of its run failed."""

    exit_code = ExitCode.NOTEBOOK_FAILED


class BadInput(BuilderError):
    """Mistakes in options, files or notebooks, all of them together, found before the first API call."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            reason="bad_input",
            advice=f"Correct the {count} mistakes above." if count > 1 else "Correct the mistake above.",
        )


class InputRefused(BuilderError):
    """A mistake in the input that only an API could find: an image that is gone, a disk that is too small."""

    exit_code = ExitCode.BAD_INPUT


class NoCapacity(BuilderError):
    """No allowed zone had the machine, or a quota is used up."""

    exit_code = ExitCode.NO_CAPACITY


class ProjectSetup(BuilderError):
    """The project refuses: a permission, an account, a network, an image; told by an API."""

    exit_code = ExitCode.PROJECT_SETUP


class TimeLimit(BuilderError):
    """A limit on a cell, the notebook or the run was reached."""

    exit_code = ExitCode.TIME_LIMIT


class EnvironmentFailed(BuilderError):
    """Boot, heartbeat, VM or API failed, after retries; a fresh attempt may do better."""

    exit_code = ExitCode.ENVIRONMENT_FAILED


class Interrupted(BaseException):
    """A signal asked us to leave. Not an Exception: no handler for faults may swallow it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as a shell would report it."""
        return 128 + self.signum
