"""Uploads the live log in numbered chunks: the runner's lines (`# `) and the notebook's (`| `).

Memory is bounded, and a slow bucket never delays the notebook: output that does not fit is dropped, and its size is
logged. The executed notebook has all output.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable

from builder.vm.protocol import LogFacts

from .redaction import Redactor, Stream
from .text import Lines, clean

CHUNK_BYTES = 256 * 1024
CHUNK_SECONDS = 1.0
# The limit of what waits for its upload.
PENDING_BYTES = 8 * CHUNK_BYTES
TOTAL_BYTES = 20 * 1024 * 1024
# The runner's own lines are few; this limits them for a notebook of a million cells.
NOTES_BYTES = 2 * 1024 * 1024
# The time for which output is held back because it can be the beginning of a secret's value.
HELD_SECONDS = 5.0
BREAKS = re.compile(r"[\r\n]+")


class Log:
    """Collects lines in one thread and uploads them in another."""

    def __init__(self, upload: Callable[[int, bytes], None]) -> None:
        """`upload(number, content)` stores one chunk, and raises if it fails."""
        self._upload = upload
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lines = Lines()
        self.protect(Redactor({}))
        self._taken = 0
        self._notes = 0
        self._dropped = 0
        self._gap = 0
        self.chunks = 0
        self._sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._chunk = b""

    def protect(self, redactor: Redactor) -> None:
        """Redact all lines from now on."""
        self.redactor = redactor
        self._stream = Stream(redactor)
        self._fed = 0.0

    def start(self) -> None:
        """Start uploading."""
        self._thread.start()

    def line(self, text: str) -> None:
        """Add a line of the runner. Line breaks in `text`, which can quote the notebook, become spaces."""
        line = clean(BREAKS.sub(" ", self.redactor.text(text)))
        # Redact again: the removed characters can have interrupted a value.
        data = f"# {self.redactor.text(line)}\n".encode("utf-8", "replace")
        with self._lock:
            if self._notes + len(data) <= NOTES_BYTES:
                self._notes += len(data)
                self._add(data)

    def output(self, data: bytes) -> None:
        """Add output of the notebook."""
        data, self._fed = self._stream.feed(data), time.monotonic()
        self._add_bytes(data)

    def _add_bytes(self, data: bytes) -> None:
        if self._full():
            # Lines that are dropped anyway need no work.
            self._lines = Lines()
            with self._lock:
                self._dropped += len(data)
                self._gap += len(data)
            return
        self._add_output(self._lines.feed(data))

    def tick(self) -> None:
        """Release output that was held back long enough. An unfinished line still waits until it is complete."""
        if self._stream.held and time.monotonic() - self._fed > HELD_SECONDS:
            self._add_bytes(self._stream.end())

    def end_output(self) -> None:
        """End the notebook's last line, so that the runner's next one does not continue it."""
        self._add_bytes(self._stream.end())
        self._add_output(self._lines.end())

    def _full(self) -> bool:
        return self._taken >= TOTAL_BYTES or self._waiting_bytes >= PENDING_BYTES

    def _add_output(self, lines: list[str]) -> None:
        encoded = [f"| {self.redactor.text(line)}\n".encode("utf-8", "replace") for line in lines]
        with self._lock:
            for data in encoded:
                if self._full():
                    self._dropped += len(data)
                    self._gap += len(data)
                else:
                    self._say_gap()
                    self._taken += len(data)
                    self._add(data)

    def _say_gap(self) -> None:
        if self._gap:
            gap, self._gap = self._gap, 0
            self._add(
                f"# {_size(gap)} of output are not shown here; the executed notebook has them\n".encode()
            )

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)

    def _run(self) -> None:
        while not self._stop.wait(CHUNK_SECONDS):
            self._send()

    def _send(self) -> bool:
        """Upload one chunk.

        Returns True on success. A failed chunk is kept and repeated, since it can have been stored.
        """
        self._chunk = self._chunk or self._take()
        if not self._chunk:
            return False
        try:
            self._upload(self.chunks + 1, self._chunk)
        except Exception:  # noqa: BLE001 - the log must not end the notebook, whatever happens to it
            return False
        self.chunks += 1
        self._sent += len(self._chunk)
        self._chunk = b""
        return True

    def _take(self) -> bytes:
        with self._lock:
            lines, size = [], 0
            while self._waiting and size + len(self._waiting[0]) <= CHUNK_BYTES:
                lines.append(self._waiting.popleft())
                size += len(lines[-1])
            self._waiting_bytes -= size
        return b"".join(lines)

    def finish(self) -> LogFacts:
        """Upload the rest and stop. What cannot be uploaded counts as dropped."""
        self.end_output()
        with self._lock:
            self._say_gap()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        while self._waiting or self._chunk:
            if not self._send():
                self._dropped += len(self._chunk) + self._waiting_bytes
                break
        return LogFacts(self.chunks, self._sent, self._dropped)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"  # noqa: PLR2004 - where MB reads better
