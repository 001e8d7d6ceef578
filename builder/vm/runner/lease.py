"""Watches the builder's lease: an object that a living builder renews."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# The number of looks during one length of the lease.
LOOKS = 20


class LeaseWatcher:
    """Sets `lost` when the object's generation has not changed for `seconds`, measured on this machine's clock.

    `generation` returns the object's generation; "" if there is none or it cannot be read, which renews nothing. The
    time counts from the start, so that a builder has time to write the object first. `report` gets the first bug that
    prevents a look.
    """

    def __init__(self, generation: Callable[[], str], seconds: float, report: Callable[[str], None]) -> None:
        self._generation = generation
        self._report = report
        self._reported = False
        self.seconds = seconds
        self._lost = threading.Event()

    def start(self) -> None:
        """Start to watch. The thread ends with the process, or when the lease is lost."""
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    @property
    def lost(self) -> bool:
        """True if the builder has not renewed its lease for its whole length."""
        return self._lost.is_set()

    def _watch(self) -> None:
        seen, renewed = "", time.monotonic()
        while True:
            current = self._look()
            now = time.monotonic()
            if current and current != seen:
                seen, renewed = current, now
            if now - renewed > self.seconds:
                self._lost.set()
                return
            time.sleep(self.seconds / LOOKS)

    def _look(self) -> str:
        try:
            return self._generation()
        except Exception as error:  # noqa: BLE001  without this thread, a forgotten notebook would run on
            if not self._reported:
                self._reported = True
                self._report(f"bug: the builder's lease cannot be read: {type(error).__name__}: {error}")
            return ""
