"""Writes the heartbeat: a small object, replaced every few seconds, that shows that the VM lives, and its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from builder.vm.protocol import DONE, Heartbeat

# Cloud Storage allows one write per second to an object; this leaves a margin.
SPACING_SECONDS = 1.2
# No heartbeat is sent during a short upload, so that the last one, which the evidence waits for, may follow at once.
HELD_BACK_SECONDS = 5.0
FINAL_TRIES = 3


class HeartbeatWriter:
    """Writes from its own thread. A failing or slow bucket costs a heartbeat, never the notebook."""

    def __init__(self, write: Callable[[bytes], None], nonce_sha256: str, attempt: int) -> None:
        self._write = write
        self._nonce_sha256 = nonce_sha256
        self._attempt = attempt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._counter = 0
        self._last = 0.0
        self._held_until = 0.0
        self.seconds = 2.0
        self.phase = "boot"
        # If set, every heartbeat has this phase instead of the current one.
        self.last_phase = ""
        self.cell = 0
        self.cells = 0
        # Called for the first failure: without the permission to write, nothing else would explain the missing
        # heartbeat.
        self.report_failure: Callable[[str], None] = lambda _text: None
        self._failure_reported = False
        self.log_chunks: Callable[[], int] = lambda: 0

    def start(self) -> None:
        """Start to send heartbeats."""
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
        heartbeat = Heartbeat(
            nonce_sha256=self._nonce_sha256,
            attempt=self._attempt,
            counter=self._counter,
            phase=self.last_phase or self.phase,
            cell=self.cell,
            cells=self.cells,
            log_chunks=self.log_chunks(),
        )
        try:
            self._write(heartbeat.encode())
        except Exception as error:  # noqa: BLE001 - silence is what the builder is prepared for
            if not self._failure_reported:
                self._failure_reported = True
                self.report_failure(f"heartbeat: {error}")
            return False
        return True

    def hold_back(self) -> None:
        """Send no heartbeat for a few seconds: the end is near, and the last heartbeat must not wait."""
        self._held_until = time.monotonic() + HELD_BACK_SECONDS

    def stop(self) -> None:
        """Stop the regular heartbeats."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def finish(self) -> None:
        """Send the last heartbeat, with the phase `done`, as soon as the spacing allows."""
        self.stop()
        self.phase = DONE
        for _ in range(FINAL_TRIES):
            time.sleep(max(0.0, self._last + SPACING_SECONDS - time.monotonic()))
            if self._beat():
                return
