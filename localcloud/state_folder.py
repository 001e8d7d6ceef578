"""The state directory itself: one localcloud at a time, nobody else's files, and the ports of the last time."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path


class StateInUse(Exception):
    """Another localcloud works on the same state directory."""


class Ports:
    """The ports of a state directory, so that what was told an address finds it again after a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, int] = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def recall(self, name: str) -> int:
        """Return the port used last time; 0 for none."""
        return self._known.get(name, 0)

    def remember(self, name: str, port: int) -> None:
        """Write a port down for the next time."""
        if self._known.get(name) != port:
            self._known[name] = port
            self._file.write_text(json.dumps(self._known, indent=2) + "\n")


def check_ours(state: Path) -> None:
    """Raise FileExistsError when starting would empty folders that localcloud has not made."""
    if (state / "lock").exists():
        return
    for name in ("vms", "storage-scratch"):
        if (state / name).exists():
            message = (
                f"{state / name} is not localcloud's and would be emptied; choose another state directory"
            )
            raise FileExistsError(message)


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
