"""What is remembered of a function: what was asked for, what serves, its trigger. Values, and the file they are kept in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.kept import Kept

Json = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A function at one time: what users gave of it (fields that they left out are not in it), and what it came to."""

    asked: Json
    function: Json

    def with_state(self, state: str, *messages: Json) -> Version:
        """Return it in another state, with these `stateMessages`."""
        function = {key: value for key, value in self.function.items() if key != "stateMessages"}
        about = {"stateMessages": list(messages)} if messages else {}
        return replace(self, function=function | {"state": state} | about)


@dataclass(frozen=True)
class Record:
    """A function as it is shown, and the version that serves, if any. `revisions` counts those made so far.

    `trigger` is the one that serves, as `triggers.planned` returns it.
    """

    shown: Version
    serving: Version | None = None
    trigger: Json | None = None
    revisions: int = 0


class Records:
    """Records by function name. Hold `lock` from a read to the write that depends on it."""

    def __init__(self, file: Path) -> None:
        self._kept = Kept(file)
        self.lock = self._kept.lock

    def names(self) -> list[str]:
        """Return every function's name, in order."""
        return self._kept.names()

    def find(self, name: str) -> Record | None:
        """Return a function's record, None where there is no such function."""
        value = self._kept.find(name)
        if value is None:
            return None
        serving = value["serving"]
        return Record(
            Version(**value["shown"]),
            None if serving is None else Version(**serving),
            value["trigger"],
            value["revisions"],
        )

    def put(self, name: str, record: Record) -> None:
        """Keep a record; on disk when this returns."""
        self._kept.put(name, asdict(record))

    def remove(self, name: str) -> None:
        """Forget a function."""
        self._kept.remove(name)
