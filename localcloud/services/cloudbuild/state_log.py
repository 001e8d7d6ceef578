"""The log of one build: a file that grows by whole lines, with several writers and readers at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import IO

# The largest answer in bytes; a reader calls again.
_MAX_BYTES = 4 << 20


class BuildLog:
    """A build's log. The output of steps is kept as bytes, in any encoding."""

    def __init__(self, path: Path, *, complete: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._complete = complete
        self._file = path.open("ab")
        if complete:
            self._file.close()

    def write(self, text: str) -> None:
        """Append lines of Cloud Build's own."""
        self._append(text.encode(errors="surrogateescape") + b"\n")

    def copy(self, output: IO[bytes], who: str) -> None:
        """Append a step's output until its end, by whole lines, with the step's name before each."""
        prefix = f"{who}: ".encode() if who else b""
        for line in output:
            self._append(prefix + (line if line.endswith(b"\n") else line + b"\n"))

    def finish(self) -> None:
        """Mark the log as complete."""
        with self._lock:
            self._complete = True
            self._file.close()

    def read(self, offset: int) -> tuple[bytes, bool]:
        """Return the bytes from `offset` on, as many as fit one answer, and True if they are the last."""
        with self._lock, self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(_MAX_BYTES)
            return data, self._complete and len(data) < _MAX_BYTES

    def _append(self, data: bytes) -> None:
        with self._lock:
            self._file.write(data)
            self._file.flush()
