"""The live log: our lines (`# `) and the notebook's (`| `), uploaded in numbered chunks by a thread.

Memory is bounded whatever the notebook prints, and a slow bucket never makes the notebook wait: what does not fit
is counted and said. The executed notebook has it all.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .redaction import Redactor, Stream
from .text import Lines, clean

CHUNK_BYTES = 256 * 1024
CHUNK_SECONDS = 1.0
# What may wait for its upload. At one chunk a second this is also how long the end of a flood delays the result.
PENDING_BYTES = 8 * CHUNK_BYTES
TOTAL_BYTES = 20 * 1024 * 1024
# Our own lines are few; this keeps a notebook of a million cells within bounds as well.
NOTES_BYTES = 2 * 1024 * 1024
# For so long output may wait for more to tell whether it is the beginning of a secret's value.
HELD_SECONDS = 5.0
BREAKS = re.compile(r"[\r\n]+")


@dataclass(frozen=True)
class LogFacts:
    """What went to the bucket and what did not."""

    chunks: int
    bytes: int
    dropped_bytes: int


class Log:
    """Collects lines from one thread and uploads them from another."""

    def __init__(self, upload: Callable[[int, bytes], None]) -> None:
        """`upload(number, content)` stores one chunk; it raises when it has failed for good."""
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
        self._last = 0.0

    def protect(self, redactor: Redactor) -> None:
        """From now on, let nothing through that the redactor knows."""
        self.redactor = redactor
        self._stream = Stream(redactor)
        self._fed = 0.0

    def start(self) -> None:
        """Start uploading."""
        self._thread.start()

    def note(self, text: str) -> None:
        """Add a line of ours: one, whatever the text holds, since what a notebook says may stand in it."""
        line = clean(BREAKS.sub(" ", self.redactor.text(text)))
        # Once more: what was taken out of a line may have stood inside of a value.
        data = f"# {self.redactor.text(line)}\n".encode("utf-8", "replace")
        with self._lock:
            if self._notes + len(data) <= NOTES_BYTES:
                self._notes += len(data)
                self._add(data)

    def output(self, data: bytes) -> None:
        """Add bytes that the notebook printed."""
        data, self._fed = self._stream.feed(data), time.monotonic()
        self._add_bytes(data)

    def _add_bytes(self, data: bytes) -> None:
        if self._full():
            # No work on lines that nobody will see.
            self._lines = Lines()
            with self._lock:
                self._dropped += len(data)
                self._gap += len(data)
            return
        self._add_output(self._lines.feed(data))

    def tick(self) -> None:
        """Let through what has waited long enough. An unfinished line still waits, and is looked at as a whole."""
        if self._stream.held and time.monotonic() - self._fed > HELD_SECONDS:
            self._add_bytes(self._stream.end())

    def end_output(self) -> None:
        """Close the notebook's last line, so that ours does not continue it."""
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
        """Upload one chunk; say whether that worked. One that failed is kept: it may have been stored all the same."""
        self._chunk = self._chunk or self._take()
        if not self._chunk:
            return False
        self._last = time.monotonic()
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
        """Upload the rest and stop. Takes as many seconds as there are chunks left, eight at the most."""
        self.end_output()
        with self._lock:
            self._say_gap()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        while self._waiting or self._chunk:
            time.sleep(max(0.0, self._last + CHUNK_SECONDS - time.monotonic()))
            if not self._send():
                self._dropped += len(self._chunk) + self._waiting_bytes
                break
        return LogFacts(self.chunks, self._sent, self._dropped)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"  # noqa: PLR2004 - where MB reads better
