"""The state directory: one localcloud at a time, no foreign files, and the ports of the last start."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

IN_USE = "in-use"
"""The file of a state directory that is locked while `submit` uses the directory."""


class StateInUse(Exception):
    """Another localcloud works on the same state directory."""


class Ports:
    """The ports of a state directory, so that addresses stay the same over a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, int] = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def bound(self, name: str, bind: Callable[[int], _T], port_of: Callable[[_T], int]) -> _T:
        """Bind the port of the last start, or any (0) if another program has that one now; store it for the next."""
        try:
            made = bind(self._known.get(name, 0))
        except OSError:
            made = bind(0)
        self.remember(name, port_of(made))
        return made

    def remember(self, name: str, port: int) -> None:
        """Store a port for the next start."""
        if self._known.get(name) != port:
            self._known[name] = port
            self._file.write_text(json.dumps(self._known, indent=2) + "\n")


def check_ours(state: Path) -> None:
    """Raise FileExistsError for a folder with files that are not localcloud's.

    A folder in which localcloud has never started may have the folder of buckets, with objects for the first start.
    """
    foreign = sorted(path.name for path in state.iterdir() if path.name not in {"storage", IN_USE})
    if foreign and not (state / "lock").exists():
        message = f"{state} has {foreign[0]}, which is not localcloud's; choose another state directory"
        raise FileExistsError(message)


def check_profile(state: Path, name: str) -> None:
    """Raise FileExistsError if the first start was with another profile; `name` is kept at the first."""
    file = state / "project.json"
    if not file.exists():
        write_private(file, json.dumps({"project": name}) + "\n")
    elif (known := json.loads(file.read_text())["project"]) != name:
        message = f"{state} was started with --project {known}; choose another --state"
        raise FileExistsError(message)


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:  # noqa: PTH123  a mode
        opened.write(text)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock on the state directory; raises `StateInUse`."""
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another localcloud works on the state directory {file.parent}"
            raise StateInUse(message) from None
        yield
