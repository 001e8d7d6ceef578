"""Keeps one small object per VM in the bucket, from which a sweep reports the VMs of a killed builder.

A cancelled build ends without a signal, so it cannot report its VM. The VM's own deadline removes the VM; the object
remains, and the next run's sweep reports it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from builder.act.vm import Ending, Vm
from builder.errors import Interrupted
from builder.model import GcsLocation, Listed
from builder.ports import CallFailed, ObjectStore
from builder.strict_json import read_object

_logger = logging.getLogger(__name__)
_FOLDER = "open"
_THREADS = 4


class Ledger:
    """Keeps `open/<run>/<vm>.json` for each VM from its request until its end is confirmed. Nothing waits for it."""

    def __init__(self, store: ObjectStore, location: GcsLocation) -> None:
        self._store = store
        self._location = location
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="ledger")
        self._written: dict[str, Future[None]] = {}

    def record(self, vm: Vm) -> None:
        """Write the VM's object before its request, and delete it when its end is confirmed."""
        if vm.state.ending is Ending.OPEN:
            self._written[vm.name] = self._pool.submit(self._write, vm)
        elif vm.state.ending is Ending.GONE and (written := self._written.pop(vm.name, None)) is not None:
            wait([written])
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
        except (CallFailed, Interrupted) as failure:  # a run's verdict does not depend on the ledger
            _logger.info("the ledger of VMs: %s", failure)


@dataclass(frozen=True)
class _Entry:
    """The ledger's entry of a VM; `deadline` in seconds since the epoch."""

    run: str
    vm: str
    zone: str
    deadline: float


def report_lost_vms(
    store: ObjectStore,
    location: GcsLocation,
    *,
    alive: Collection[str],
    removed: Collection[str],
    now: Callable[[], float],
    report: Callable[[str], None],
) -> None:
    """Report once each VM that its builder did not delete, and whose deadline has passed.

    `alive` has the names of this tool's VMs that exist: the sweep handles those. `removed` has the names of those
    that it has removed and reported: their objects go. `now` returns the time in seconds since the epoch. Raises
    CallFailed.
    """
    noted = {
        listed.name.rpartition("/")[2].removesuffix(".json"): listed
        for listed in store.list(location.object(_FOLDER) + "/")
    }
    for name in noted.keys() & removed:
        store.delete(noted.pop(name).name)
    missing = [listed for name, listed in noted.items() if name not in alive]
    moment = now() if missing else 0.0
    for listed in missing:
        entry = _read(store, listed)
        # Of two sweeps at once, the one whose delete finds the object reports.
        if entry is not None and entry.deadline < moment and store.delete(listed.name):
            ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(entry.deadline))
            report(
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
