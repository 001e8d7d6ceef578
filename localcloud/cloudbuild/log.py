"""The log of one build: a file that grows by whole lines, written by several steps at once and read meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import IO

# What one answer holds at most; a reader asks again.
_MOST = 4 << 20


class BuildLog:
    """A build's log. What steps print stays the bytes that it is, whatever its encoding."""

    def __init__(self, path: Path, *, complete: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._complete = complete
        self._file = path.open("ab")
        if complete:
            self._file.close()

    def write(self, text: str) -> None:
        """Append lines of our own."""
        self._append(text.encode(errors="surrogateescape") + b"\n")

    def copy(self, output: IO[bytes], who: str) -> None:
        """Append what a step prints until that ends, each line once it is whole, with the step's name before it."""
        prefix = f"{who}: ".encode() if who else b""
        for line in output:
            self._append(prefix + (line if line.endswith(b"\n") else line + b"\n"))

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self._complete = True
            self._file.close()

    def read(self, offset: int) -> tuple[bytes, bool]:
        """Return the bytes from `offset` on, as many as one answer holds, and whether they are the last."""
        with self._lock, self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(_MOST)
            return data, self._complete and len(data) < _MOST

    def content(self) -> bytes:
        """Return all of it, as of now."""
        with self._lock:
            return self._path.read_bytes()

    def _append(self, data: bytes) -> None:
        with self._lock:
            self._file.write(data)
            self._file.flush()
