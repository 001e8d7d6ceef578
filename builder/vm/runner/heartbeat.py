"""The heartbeat: a small object, overwritten every few seconds, that says the VM lives and how far it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

# Google allows one write a second to the same object; the protocol promises more distance.
SPACING_SECONDS = 1.5
# A short upload sends no beat of its own: the last beat, which the evidence waits for, need not keep a distance to it.
HELD_BACK_SECONDS = 5.0
FINAL_TRIES = 3


class Heartbeat:
    """Writes from a thread of its own. A bucket that fails or is slow costs a beat, never the notebook."""

    def __init__(self, write: Callable[[bytes], None], identity: dict[str, Any]) -> None:
        self._write = write
        self._identity = identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._counter = 0
        self._last = 0.0
        self._held_until = 0.0
        self.seconds = 2.0
        self.phase = "boot"
        self.cell = 0
        self.cells = 0
        # Told of the first failure: without the right to write, nobody would ever learn why there is no heartbeat.
        self.complain: Callable[[str], None] = lambda _text: None
        self._complained = False
        self.log_chunks: Callable[[], int] = lambda: 0

    def start(self) -> None:
        """Send the first beat, and the others after it."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            if time.monotonic() >= self._held_until:
                self._beat()
            if self._stop.wait(max(self.seconds, SPACING_SECONDS)):
                return

    def _beat(self) -> bool:
        self._counter += 1
        self._last = time.monotonic()
        progress = {
            "phase": self.phase,
            "cell": self.cell,
            "cells": self.cells,
            "log_chunks": self.log_chunks(),
        }
        value = {"schema": 1, **self._identity, "counter": self._counter, **progress}
        try:
            self._write(json.dumps(value).encode())
        except Exception as error:  # noqa: BLE001 - silence is what the builder is prepared for
            if not self._complained:
                self._complained = True
                self.complain(f"heartbeat: {error}")
            return False
        return True

    def hold_back(self) -> None:
        """Send no beat for a few seconds: the end is near, and the last beat shall not be late."""
        self._held_until = time.monotonic() + HELD_BACK_SECONDS

    def stop(self) -> None:
        """Stop the regular beats."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def finish(self) -> None:
        """Send the last beat, phase `done`, no sooner than the spacing allows."""
        self.stop()
        self.phase = "done"
        for _ in range(FINAL_TRIES):
            time.sleep(max(0.0, self._last + SPACING_SECONDS - time.monotonic()))
            if self._beat():
                return
