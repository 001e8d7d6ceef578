"""The builder's lease: an object that a living builder writes anew all the time. Once it stands still, nobody waits for us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# How often we look, as a share of the lease's own length.
LOOKS = 20


class Lease:
    """Watches the object's generation from a thread of its own; ages are measured on this machine's clock alone.

    `generation` returns the object's generation, "" where it is not there or cannot be read, which renews nothing.
    `seconds` is how long the object may stand still; it counts from now, so that a builder which has yet to write it has its time.
    """

    def __init__(self, generation: Callable[[], str], seconds: float) -> None:
        self._generation = generation
        self.seconds = seconds
        self._lost = threading.Event()

    def start(self) -> None:
        """Begin to watch; the thread ends with the process, or once the lease is lost."""
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether the builder has given no sign of life for the whole length of its lease."""
        return self._lost.is_set()

    def _watch(self) -> None:
        seen, renewed = "", time.monotonic()
        while True:
            current = self._generation()
            now = time.monotonic()
            if current and current != seen:
                seen, renewed = current, now
            if now - renewed > self.seconds:
                self._lost.set()
                return
            time.sleep(self.seconds / LOOKS)
