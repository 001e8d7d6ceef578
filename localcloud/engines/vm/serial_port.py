"""Serial port 1 of a VM: takes bytes at once, and passes them on in order, also to a slow receiver."""

from __future__ import annotations

import os
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IN_MEMORY = 1 << 20
CHUNK = 1 << 18


class SerialPort:
    """A queue of bytes with a thread that empties it into `sink`.

    Memory is bounded: what the sink has not taken beyond 1 MiB waits in a nameless file in `directory`. When that disk
    is full, the newest bytes are lost, as on a real line; writing never blocks and never fails.
    """

    def __init__(self, sink: Callable[[bytes], None], directory: Path, name: str) -> None:
        self._sink = sink
        self._memory = bytearray()  # always older than what is in the file
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  closed by its thread
        self._begin = self._end = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._deliver, name=f"serial-{name}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Queue bytes; they vanish when the port is closed."""
        with self._changed:
            if self._closed:
                return
            if self._begin == self._end and len(self._memory) < IN_MEMORY:
                self._memory += data
            else:
                self._spool(data)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Close the port: deliver queued bytes within `timeout` seconds, and drop the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        with self._changed:
            self._memory.clear()
            self._begin = self._end

    def _spool(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, self._end)
                self._end += written
                view = view[written:]
        except OSError:
            return

    def _deliver(self) -> None:
        with self._file:
            while data := self._take():
                self._sink(data)

    def _take(self) -> bytes:
        """Wait for bytes; none when the port is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._memory or self._begin < self._end or self._closed)
            if self._memory:
                data = bytes(self._memory)
                self._memory.clear()
                return data
            data = os.pread(self._file.fileno(), min(CHUNK, self._end - self._begin), self._begin)
            self._begin += len(data)
            if self._begin >= self._end and self._end:
                self._begin = self._end = 0
                self._file.truncate(0)
            return data
