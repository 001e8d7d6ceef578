"""Removes VMs of this tool that outlived their own deadline, stopped ones too; touches nothing else.

A VM is ours only if name, labels and metadata say so together, and it is over only by its own deadline, read against
the time in Compute Engine's answer: "unknown to me" is never a reason (docs/facts.md 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from builder.act.fleet import Ending, Fleet, Vm
from builder.act.ledger import tell_of_the_lost
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
from builder.stored_json import read_object

LATENESS = 120.0  # seconds that Compute Engine's own deletion may be late before we step in (docs/facts.md 1.6: 30 s)
BUDGET = 60.0  # seconds for one leftover: what resists is met again by the next sweep
_NAME = re.compile(r"nb-[0-9a-f]{12}-a[0-9]+t[0-9]+")


@dataclass(frozen=True)
class Overdue:
    """A VM whose deadline has passed, and by how many seconds."""

    instance: Instance
    attempt: Attempt
    seconds: float


def overdue(instance: Instance, now: float) -> Overdue | None:
    """The instance as overdue, or None where it is not ours or its time is not over. `now`: seconds since the epoch."""
    attempt = _attempt_of(instance)
    if attempt is None:
        return None
    late = now - _deadline(instance, now)
    return Overdue(instance, attempt, late) if late > LATENESS else None


def _deadline(instance: Instance, never: float) -> float:
    """When its time is over: as Compute Engine tells it, else by the label, which a builder's own clock wrote."""
    created = _seconds(instance.created)
    if instance.max_run_seconds is not None and created is not None:
        return created + instance.max_run_seconds
    label = instance.labels.get(DEADLINE_LABEL, "")
    return float(label) if label.isdecimal() else never


def _seconds(time: str) -> float | None:
    """An RFC 3339 time as seconds since the epoch; None for what is none."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _attempt_of(instance: Instance) -> Attempt | None:
    """Whose attempt the VM is, if name, labels and metadata agree on it."""
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
    tell: Callable[[str], None],
    *,
    store: ObjectStore | None = None,
    location: GcsLocation | None = None,
) -> Sequence[Vm]:
    """Delete every overdue VM and tell of each; the VMs that were found, with how they ended.

    With the place where runs keep their ledger, also tells of the VMs that their own deadline removed. Raises CallFailed.
    """
    standing = machines.ours()
    candidates = [instance for instance in standing if _attempt_of(instance)]
    now = machines.now() if candidates else 0.0
    found = [late for late in (overdue(instance, now) for instance in candidates) if late is not None]
    removed = [_remove(late, fleet, tell) for late in found]
    if store and location:
        alive = {instance.name for instance in standing}
        tell_of_the_lost(store, location, alive=alive, now=lambda: machines.now() - LATENESS, tell=tell)
    return removed


def take_down_run(machines: Machines, fleet: Fleet, run: str, tell: Callable[[str], None]) -> None:
    """Delete every VM of a run whose builder is dead. Raises CallFailed, and EnvironmentFailed where one may still run."""
    attempts = [(instance, _attempt_of(instance)) for instance in machines.ours()]
    vms = [_handle(instance, attempt) for instance, attempt in attempts if attempt and attempt.run == run]
    for vm in vms:
        if fleet.take_down(vm) is not Ending.GONE:
            raise EnvironmentFailed(
                f"VM {vm.name} in {vm.zone} of run {run} could not be deleted: {vm.trouble}",
                reason="cleanup_failed",
                advice=f"No other VM was asked for, since there are never two for an event. {vm.delete_command(machines.project)}",
            )
        tell(f"VM {vm.name} in {vm.zone} of run {run} deleted")


def _handle(instance: Instance, attempt: Attempt) -> Vm:
    """An instance that stands, as the fleet knows its own."""
    return Vm(
        name=instance.name,
        zone=instance.zone,
        attempt=attempt,
        max_run_seconds=instance.max_run_seconds or 0,
        requested=True,
        settled=True,
    )


def _remove(late: Overdue, fleet: Fleet, tell: Callable[[str], None]) -> Vm:
    instance = late.instance
    vm = _handle(instance, late.attempt)
    if fleet.take_down(vm, budget=BUDGET) is Ending.GONE:
        tell(
            f"removed leftover VM {vm.name} ({instance.status}) in {vm.zone} of run {late.attempt.run}, "
            f"{late.seconds:.0f} s past its deadline"
        )
    else:
        tell(
            f"leftover VM {vm.name} in {vm.zone} of run {late.attempt.run} could not be removed: {vm.trouble}"
        )
    return vm
