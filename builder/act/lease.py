"""Renews the builder's lease: an object that tells the VMs that their builder lives.

Cloud Build ends a cancelled build by SIGKILL. When the object does not change any more, a VM ends its notebook and
itself, instead of working until its deadline.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Self

from builder.errors import Interrupted
from builder.model import GcsLocation
from builder.ports import CallFailed, ObjectStore

# The age at which the lease expires. More than the 120 s for which one write is repeated, and than the 180 s of silence
# after which the builder gives a VM up.
LEASE_SECONDS = 300
_RENEW_SECONDS = 30.0

_logger = logging.getLogger(__name__)


class LeaseRenewer:
    """Renews `staging/<run>/lease.json` during the `with` block, on its own thread.

    `report` gets a warning if a bug of ours prevents a renewal. The renewals go on.
    """

    def __init__(
        self, store: ObjectStore, location: GcsLocation, run: str, report: Callable[[str], None]
    ) -> None:
        self._store = store
        self._run = run
        self._report = report
        self.object = location.object("staging", run, "lease.json")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _renew(self) -> None:
        number = 1
        self._write(number)
        while not self._over.wait(_RENEW_SECONDS):
            number += 1
            self._write(number)

    def _write(self, number: int) -> None:
        content = json.dumps({"schema": 1, "run": self._run, "renewal": number}).encode()
        try:
            self._store.replace(self.object, content, content_type="application/json")
        except (CallFailed, Interrupted) as failure:  # the next renewal may succeed
            _logger.info("the lease: %s", failure)
        except Exception as error:
            # Without this thread, the VMs of a run that lives would end themselves.
            _logger.exception("the lease")
            self._report(
                f"warning: because of a bug in Notebook Builder ({type(error).__name__}), this run did not renew its lease. If "
                f"this continues for {LEASE_SECONDS} s, its VMs end their notebooks."
            )
