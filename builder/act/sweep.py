"""Deletes VMs of this tool whose own deadline has passed, including stopped ones, and nothing else.

A VM is ours only if its name, labels and metadata agree. Its time is over only by its own deadline, compared with the
time in Compute Engine's answer. That a run does not know a VM is never a reason (docs/facts.md 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from builder.act.fleet import Fleet
from builder.act.ledger import report_lost_vms
from builder.act.vm import Ending, Insert, Vm
from builder.errors import EnvironmentFailed
from builder.model import GcsLocation
from builder.plan.vm_spec import (
    DEADLINE_LABEL,
    JOB_LABEL,
    JOB_METADATA,
    NONCE_LABEL,
    RUN_LABEL,
    TOOL,
    TOOL_LABEL,
    Attempt,
)
from builder.ports import Instance, Machines, ObjectStore
from builder.strict_json import read_object

LATENESS = 120.0  # the lateness in seconds of Compute Engine's own deletion that is tolerated (docs/facts.md 1.6: 30 s)
BUDGET = 60.0  # seconds for one VM: the next sweep tries again
_AT_ONCE = 8  # VMs; the end of a run waits for the sweep, and each deletion takes up to a minute
_NAME = re.compile(r"nb-[0-9a-f]{12}-a[0-9]+t[0-9]+")


@dataclass(frozen=True)
class Overdue:
    """A VM whose deadline has passed, and the seconds since then."""

    instance: Instance
    attempt: Attempt
    seconds: float


def overdue(instance: Instance, now: float) -> Overdue | None:
    """Return the instance as overdue; None if it is not ours, or if its time is not over.

    `now`: seconds since the epoch.
    """
    attempt = _attempt_of(instance)
    if attempt is None:
        return None
    late = now - _deadline(instance, now)
    return Overdue(instance, attempt, late) if late > LATENESS else None


def _deadline(instance: Instance, never: float) -> float:
    """Return the VM's deadline in seconds since the epoch.

    Compute Engine counts from the VM's start, and names the time while the VM runs. Of a VM that has stopped, only its
    creation is known. The label is from a builder's own clock.
    """
    if (terminates := _seconds(instance.terminates)) is not None:
        return terminates
    created = _seconds(instance.created)
    if instance.max_run_seconds is not None and created is not None:
        return created + instance.max_run_seconds
    label = instance.labels.get(DEADLINE_LABEL, "")
    return float(label) if label.isdecimal() else never


def _seconds(time: str) -> float | None:
    """Return an RFC 3339 time in seconds since the epoch; None for other text."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _attempt_of(instance: Instance) -> Attempt | None:
    """Return the attempt of the VM, if name, labels and metadata agree on it."""
    labels = instance.labels
    if labels.get(TOOL_LABEL) != TOOL or not _NAME.fullmatch(instance.name):
        return None
    try:
        job = read_object(instance.metadata[JOB_METADATA])
        attempt = Attempt(
            run=str(job["run"]), job=str(job["job_id"]), number=int(job["attempt"]), nonce=str(job["nonce"])
        )
    except (KeyError, ValueError, TypeError):
        return None
    agrees = labels.get(NONCE_LABEL) == attempt.nonce and RUN_LABEL in labels and JOB_LABEL in labels
    number = instance.name.rpartition("t")[2]
    return attempt if agrees and instance.name == attempt.vm_name(int(number)) else None


def sweep(
    machines: Machines,
    fleet: Fleet,
    report: Callable[[str], None],
    *,
    store: ObjectStore | None = None,
    location: GcsLocation | None = None,
) -> Sequence[Vm]:
    """Delete and report every overdue VM. Returns the VMs that were found.

    With the location of the ledger, also reports the VMs that their own deadline removed. Raises CallFailed.
    """
    existing = machines.ours()
    candidates = [instance for instance in existing if _attempt_of(instance)]
    now = machines.now() if candidates else 0.0
    found = [late for late in (overdue(instance, now) for instance in candidates) if late is not None]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sweep") as pool:
        removed = list(pool.map(lambda late: _remove(late, fleet, report), found))
    if store and location:
        report_lost_vms(
            store,
            location,
            alive={instance.name for instance in existing},
            removed={vm.name for vm in removed if vm.state.ending is Ending.GONE},
            now=lambda: machines.now() - LATENESS,
            report=report,
        )
    return removed


def take_down_run(machines: Machines, fleet: Fleet, run: str, report: Callable[[str], None]) -> None:
    """Delete every VM of a run whose builder is dead. Raises CallFailed, and EnvironmentFailed if one may still run."""
    attempts = [(instance, _attempt_of(instance)) for instance in machines.ours()]
    vms = [_handle(instance, attempt) for instance, attempt in attempts if attempt and attempt.run == run]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="take-down") as pool:
        endings = dict(zip(vms, pool.map(fleet.take_down, vms), strict=True))
    for vm in (vm for vm, ending in endings.items() if ending is Ending.GONE):
        report(f"VM {vm.name} in {vm.zone} of run {run} deleted")
    if left := [vm for vm, ending in endings.items() if ending is not Ending.GONE]:
        named = "; ".join(f"VM {vm.name} in {vm.zone}: {vm.state.trouble}" for vm in left)
        raise EnvironmentFailed(
            f"Run {run}, which no longer works on this event, has VMs that could not be deleted: {named}",
            reason="cleanup_failed",
            advice="This run requested no VM, because two VMs must not work on one event. Delete what is left, then publish the "
            f"message again: {'; '.join(vm.delete_command(machines.project) for vm in left)}",
        )


def _handle(instance: Instance, attempt: Attempt) -> Vm:
    """Return an existing instance as a VM of the fleet."""
    vm = Vm(name=instance.name, zone=instance.zone, attempt=attempt)
    vm.update(insert=Insert.FINAL)
    return vm


def _remove(late: Overdue, fleet: Fleet, report: Callable[[str], None]) -> Vm:
    instance = late.instance
    vm = _handle(instance, late.attempt)
    if fleet.take_down(vm, budget=BUDGET) is Ending.GONE:
        report(
            f"removed leftover VM {vm.name} ({instance.status}) in {vm.zone} of run {late.attempt.run}, "
            f"{late.seconds:.0f} s past its deadline"
        )
    else:
        report(
            f"leftover VM {vm.name} in {vm.zone} of run {late.attempt.run} could not be removed: {vm.state.trouble}"
        )
    return vm
