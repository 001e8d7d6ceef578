"""One deployment under way: its names, its doors, and what it has changed so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from builder.act.waiting import WaitTimeout
from builder.deploy.names import Names
from builder.deploy.ports import Doors
from builder.deploy.refusals import call_refused, waited_in_vain, with_progress
from builder.errors import BuilderError
from builder.ports import CallFailed

Kind = Literal["topic", "function", "invoker", "schedule"]


@dataclass(frozen=True)
class Change:
    """Something that was written. `paths` is the mask of an update."""

    kind: Kind
    name: str
    action: Literal["created", "updated", "deleted", "bound"]
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.action}"


@dataclass
class Work:
    """What the steps share; `changes` grows as they write.

    `replacing`: the function is gone, to be made anew; until then nothing of what is live runs.
    """

    names: Names
    doors: Doors
    say: Callable[[str], None]
    changes: list[Change] = field(default_factory=list)
    replacing: bool = False

    def changed(self, change: Change) -> None:
        """Remember a change, and tell of it."""
        self.changes.append(change)
        of = f" ({', '.join(change.paths)})" if change.paths else ""
        self.say(f"{change}{of}")

    @contextmanager
    def telling(self, left: tuple[str, ...]) -> Iterator[None]:
        """Whatever ends the block early says what was done before and what is left. Raises BuilderError for CallFailed."""
        try:
            yield
        except CallFailed as failure:
            raise self._told(call_refused(failure, self.caller()), left) from failure
        except WaitTimeout as timeout:
            what = str(timeout).partition(": not within")[0]
            raise self._told(waited_in_vain(what, timeout.seconds), left) from timeout
        except BuilderError as error:
            raise self._told(error, left) from error

    def caller(self) -> str:
        """Who we are; "" where that cannot be told."""
        return caller_of(self.doors)

    def _told(self, error: BuilderError, left: tuple[str, ...]) -> BuilderError:
        note = "The function is gone: nothing runs before a deploy succeeds." if self.replacing else ""
        return with_progress(error, [str(change) for change in self.changes], left, note)


def caller_of(doors: Doors) -> str:
    """Who we are to Google; "" where that cannot be told."""
    try:
        return doors.project.caller()
    except CallFailed:
        return ""
