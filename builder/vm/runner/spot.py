"""Waits for the metadata server to report the preemption of this Spot VM. No signal reports it in time.

The guest agent's unit has `KillMode=process`: at a soft-off, only the agent is signalled, and the network ends before
the last kill.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import requests

# The longest wait of the server for its answer, and the additional time until the client gives up.
WAIT_SECONDS = 60
SPARE_SECONDS = 15.0
# The pause after a failed request.
PAUSE_SECONDS = 1.0


class Preemption:
    """Reads `instance/preempted` in its own thread, and calls `taken` there once, when it becomes TRUE."""

    def __init__(self, taken: Callable[[], None]) -> None:
        self._taken = taken
        host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self._url = f"http://{host}/computeMetadata/v1/instance/preempted"

    def start(self) -> None:
        """Start to watch. The thread ends with the process, or after the preemption."""
        threading.Thread(target=self._watch, name="preemption", daemon=True).start()

    def _watch(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # the metadata server has no proxy
            etag = "0"  # no answer has it, so the first request is answered at once
            while True:
                try:
                    value, etag = self._ask(session, etag)
                except (requests.RequestException, KeyError):
                    time.sleep(PAUSE_SECONDS)
                    continue
                if value == "TRUE":
                    self._taken()
                    return

    def _ask(self, session: requests.Session, etag: str) -> tuple[str, str]:
        """Return the value and its etag when the value differs from that of `etag`, or after a minute."""
        answer = session.get(
            self._url,
            params={"wait_for_change": "true", "last_etag": etag, "timeout_sec": str(WAIT_SECONDS)},
            headers={"Metadata-Flavor": "Google"},
            timeout=WAIT_SECONDS + SPARE_SECONDS,
        )
        answer.raise_for_status()
        return answer.text.strip(), answer.headers["ETag"]
