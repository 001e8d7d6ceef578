"""The kept state of a function: its fields, its revision, its trigger. Values, and the file that has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.core.kept import Kept

Json = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A function at one time: the fields that users gave, and the results."""

    asked: Json
    function: Json

    def with_state(self, state: str, *messages: Json) -> Version:
        """Return a copy in another state, with these `stateMessages`."""
        function = {key: value for key, value in self.function.items() if key != "stateMessages"}
        about = {"stateMessages": list(messages)} if messages else {}
        return replace(self, function=function | {"state": state} | about)


@dataclass(frozen=True)
class Record:
    """A function as answers show it, and the serving version, if any. `revisions` counts all versions so far.

    `trigger` is the serving one, as `triggers.planned` returns it.
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
        """Return a function's record; None if it does not exist."""
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
