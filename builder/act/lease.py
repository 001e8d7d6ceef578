"""The builder's sign of life for its VMs: an object written anew all the time, which a killed builder no longer writes.

Cloud Build ends a cancelled build by SIGKILL. A VM that sees this object stand still ends its notebook and itself, instead
of working on until its deadline for nobody.
"""

from __future__ import annotations

import json
import logging
import threading
from types import TracebackType
from typing import Self

from builder.errors import Interrupted
from builder.model import GcsLocation
from builder.ports import CallFailed, ObjectStore

# How long the object may stand still. More than the 120 s for which one write is repeated, and than the 180 s of silence
# after which the builder itself gives a VM up.
LEASE_SECONDS = 300
_RENEW_SECONDS = 30.0

_logger = logging.getLogger(__name__)


class Lease:
    """Renews `staging/<run>/lease.json` while the `with` block lasts, on a thread of its own."""

    def __init__(self, store: ObjectStore, location: GcsLocation, run: str) -> None:
        self._store = store
        self._run = run
        self.object = location.object("staging", run, "lease.json")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _renew(self) -> None:
        number = 0
        while True:
            number += 1
            content = json.dumps({"schema": 1, "run": self._run, "renewal": number}).encode()
            try:
                self._store.replace(self.object, content, content_type="application/json")
            except (CallFailed, Interrupted) as failure:  # the next one may get through
                _logger.info("the lease: %s", failure)
            if self._over.wait(_RENEW_SECONDS):
                return
