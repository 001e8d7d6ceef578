"""One small object per VM that exists, in the bucket: what a killed builder leaves there, the next run's sweep can tell of.

A build that is cancelled ends without a signal, so nobody says what became of its VM. The VM's own deadline removes it
all the same; the object that is left then is how somebody learns of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from builder.act.fleet import Ending, Vm
from builder.errors import Interrupted
from builder.model import GcsLocation, Listed
from builder.ports import CallFailed, ObjectStore
from builder.stored_json import read_object

_logger = logging.getLogger(__name__)
_FOLDER = "open"
_THREADS = 4


class Ledger:
    """Keeps `open/<run>/<vm>.json` for each VM from its request until its end is confirmed; never holds anything up."""

    def __init__(self, store: ObjectStore, location: GcsLocation) -> None:
        self._store = store
        self._location = location
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="ledger")
        self._written: dict[str, Future[None]] = {}

    def note(self, vm: Vm) -> None:
        """A VM is about to be requested, or its end is known."""
        if vm.ending is Ending.OPEN:
            self._written[vm.name] = self._pool.submit(self._write, vm)
        elif vm.ending is Ending.GONE and vm.name in self._written:
            wait([self._written.pop(vm.name)])
            self._try(lambda: self._store.delete(self._name(vm)))

    def _write(self, vm: Vm) -> None:
        entry = {
            "schema": 1,
            "run": vm.attempt.run,
            "job": vm.attempt.job,
            "vm": vm.name,
            "zone": vm.zone,
            "deadline": int(time.time()) + vm.max_run_seconds,
        }
        content = json.dumps(entry).encode()
        self._try(lambda: self._store.replace(self._name(vm), content, content_type="application/json"))

    def _name(self, vm: Vm) -> str:
        return self._location.object(_FOLDER, vm.attempt.run, f"{vm.name}.json")

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (CallFailed, Interrupted) as failure:  # a run's verdict does not depend on its book-keeping
            _logger.info("the ledger of VMs: %s", failure)


@dataclass(frozen=True)
class _Entry:
    """What a builder wrote of its VM; `deadline` in seconds since the epoch."""

    run: str
    vm: str
    zone: str
    deadline: float


def tell_of_the_lost(
    store: ObjectStore,
    location: GcsLocation,
    *,
    alive: Collection[str],
    now: Callable[[], float],
    tell: Callable[[str], None],
) -> None:
    """Tell, once, of each VM whose builder never came back to end it, and whose time is over.

    `alive` are the names of this tool's VMs that Compute Engine lists: those are the sweep's business, or still at work.
    `now` asks for the time, in seconds since the epoch. Raises CallFailed.
    """
    noted = store.list(location.object(_FOLDER) + "/")
    missing = [
        listed for listed in noted if listed.name.rpartition("/")[2].removesuffix(".json") not in alive
    ]
    moment = now() if missing else 0.0
    for listed in missing:
        entry = _read(store, listed)
        # Two sweeps at once: the one whose delete finds the object tells.
        if entry is not None and entry.deadline < moment and store.delete(listed.name):
            ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(entry.deadline))
            tell(
                f"the build of run {entry.run} ended without deleting its VM {entry.vm} in {entry.zone} (cancelled, or past "
                f"its timeout?); the VM is gone, by its own deadline of {ended} at the latest"
            )


def _read(store: ObjectStore, listed: Listed) -> _Entry | None:
    try:
        content = read_object(store.read(listed.name) or b"")
        return _Entry(
            str(content["run"]), str(content["vm"]), str(content["zone"]), float(content["deadline"])
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
