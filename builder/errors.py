"""One class of error per exit code. A message says what happened to which resource, the advice what to do next."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the process. They are fixed, since build files branch on them."""

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


TRACEBACK_IN_LOG = "The traceback is in the log of this build."
REPORT_BUG = "Please report it with the log of this build."


@dataclass(frozen=True)
class Problem:
    """One mistake in the user's input: the option or file, its value, and the form that is accepted."""

    variable: str
    value: str
    expected: str

    def __str__(self) -> str:
        shown = f" is {self.value!r}" if self.value else ""
        return f"{self.variable}{shown}: {self.expected}"


class BuilderError(Exception):
    """The base of all errors that end a run.

    `exit_code` says which kind, `reason` names it for programs, `advice` says what to do.
    """

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, reason: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.advice = advice


class NotStarted(BuilderError):
    """A job was not started because another notebook of its run failed."""

    exit_code = ExitCode.NOTEBOOK_FAILED


class BadInput(BuilderError):
    """All mistakes in options, files and notebooks, found before the first API call."""

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
    """A mistake in the input that only an API can find: an image that no longer exists, a disk that is too small."""

    exit_code = ExitCode.BAD_INPUT


class NoCapacity(BuilderError):
    """No allowed zone had the machine, or a quota is used up."""

    exit_code = ExitCode.NO_CAPACITY


class ProjectSetup(BuilderError):
    """An API refused a call because of the project's set-up: a permission, an account, a network, an image."""

    exit_code = ExitCode.PROJECT_SETUP


class TimeLimit(BuilderError):
    """A limit on a cell, the notebook or the run was reached."""

    exit_code = ExitCode.TIME_LIMIT


class EnvironmentFailed(BuilderError):
    """Boot, heartbeat, VM or API failed, after retries. A new attempt can succeed."""

    exit_code = ExitCode.ENVIRONMENT_FAILED


Cause = signal.Signals | BuilderError


class Interrupted(BaseException):
    """Ends a run before its time. Not an Exception, so that no handler for faults swallows it.

    `cause` is the signal that asks for it, or the error for which the run stops itself.
    """

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause

    @property
    def error(self) -> BuilderError | None:
        """The error for which the run stops itself; None after a signal."""
        return self.cause if isinstance(self.cause, BuilderError) else None

    @property
    def exit_code(self) -> int:
        """The error's exit code; after a signal 128 and its number, as a shell reports it."""
        return self.cause.exit_code if isinstance(self.cause, BuilderError) else 128 + self.cause
