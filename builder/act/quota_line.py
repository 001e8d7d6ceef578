"""Lets jobs wait in line while the run's own VMs hold an exhausted quota.

A job in the line has no VM. It waits for the jobs before it, and for VMs of jobs outside the line, so no two jobs wait
for each other.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from builder.act.failover import Scope, is_address_space, is_quota
from builder.act.fleet import Fleet
from builder.act.refusals import Refusal, not_started, vms_of_run
from builder.act.vm import Ending, Insert, Vm
from builder.model import Accelerator, region_of
from builder.options import MachineOptions
from builder.plan.quota_metrics import cpu_metric, gpu_metric
from builder.plan.vm_spec import SPOT
from builder.ports import Clock

_LOOK = 1.0  # seconds between two looks at the line
_METRIC = re.compile(r"[Qq]uota '([A-Z0-9_]+)' exceeded")
_SERIES_CPUS = re.compile(r"[A-Z]+[0-9]+[A-Z]*_CPUS")


@dataclass(frozen=True)
class Limit:
    """An exhausted quota: its metric as Compute Engine names it, and its region, "" for a global one."""

    metric: str
    region: str

    def __str__(self) -> str:
        return f"{self.metric} in {self.region}" if self.region else f"{self.metric} in all regions"

    def counts(self, spec: MachineOptions, model: str, zone: str) -> bool:
        """Return True if a VM of this provisioning model can take some of the quota, according to the metric's name."""
        if self.region not in {"", region_of(zone)}:
            return False
        if self.metric.endswith("GPUS") or self.metric.startswith("GPUS"):
            return spec.has_gpu and self._counts_gpus(spec.accelerator)
        if self.metric == "IN_USE_ADDRESSES":
            return spec.external_ip
        if self.metric in {"DISKS_TOTAL_GB", "SSD_TOTAL_GB", "HDB_TOTAL_GB"}:
            return (self.metric == "DISKS_TOTAL_GB") is (spec.disk_type == "pd-standard")
        if self.metric == "CPUS" or _SERIES_CPUS.fullmatch(self.metric):
            return self.metric == cpu_metric(spec.series)
        return self.metric != "PREEMPTIBLE_CPUS" or model == SPOT

    def _counts_gpus(self, accelerator: Accelerator | None) -> bool:
        """Return True for a quota of all GPUs, for that of this type, and if the machine type brings the GPU."""
        own = self.metric.removeprefix("PREEMPTIBLE_")
        return accelerator is None or not own.startswith("NVIDIA_") or own == gpu_metric(accelerator.type)


def limit_of(refusal: Refusal) -> Limit | None:
    """Return the quota that a refusal names, or the addresses of the subnetwork; None if it is about another reason."""
    if is_address_space(refusal.code):
        return Limit("IP_SPACE", region_of(refusal.zone))
    match = _METRIC.search(refusal.message)
    if match is None or not is_quota(refusal.code):
        return None
    return Limit(match[1], "" if refusal.scope is Scope.QUOTA else region_of(refusal.zone))


class QuotaLine:
    """The line of one run."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._turns: list[Turn] = []

    def limits_before(self, turn: Turn) -> Sequence[Limit]:
        """Return the quotas that the turns before this one wait for. A turn outside the line comes after all others."""
        with self._lock:
            before = self._turns[: self._turns.index(turn)] if turn in self._turns else self._turns
            return [limit for other in before for limit in other.limits]

    def join(self, turn: Turn, limits: Collection[Limit]) -> None:
        """Put a turn at the end of the line, unless it is in it, and add the quotas that it waits for."""
        with self._lock:
            turn.limits = turn.limits | frozenset(limits)
            if turn not in self._turns:
                self._turns.append(turn)

    def leave(self, turn: Turn) -> None:
        """Take a turn out of the line."""
        with self._lock:
            self._turns = [other for other in self._turns if other is not turn]

    def vms(self, job: str) -> Sequence[Vm]:
        """Return the requested VMs of other jobs, without refused ones, including ended ones."""
        return [
            vm
            for vm in self._fleet.known()
            if vm.attempt.job != job and vm.state.insert is not Insert.REFUSED
        ]


class Turn:
    """One job's turn, from its first request for a VM until it has one or gives up.

    It joins the line when it must wait, and reports that. `stop` returns True if the job is not to be started any more.
    """

    def __init__(
        self,
        line: QuotaLine,
        clock: Clock,
        job: str,
        *,
        stop: Callable[[], bool],
        report: Callable[[str], None],
    ) -> None:
        self.limits: frozenset[Limit] = frozenset()
        self._line = line
        self._clock = clock
        self._job = job
        self._stop = stop
        self._report = report
        self._ended: frozenset[str] = frozenset()  # names of VMs that had ended before the last requests

    def begin(self) -> None:
        """Record which VMs have ended before the next requests: a VM that ends later can free quota."""
        self._ended = frozenset(vm.name for vm in self._line.vms(self._job) if vm.state.ending is Ending.GONE)

    def await_first(self, spec: MachineOptions, model: str, zone: str, deadline: float) -> bool:
        """Wait until no job before this one waits for a quota that such a VM takes.

        Returns False after the deadline.
        """
        while ahead := {limit for limit in self._line.limits_before(self) if limit.counts(spec, model, zone)}:
            self._check()
            if not ahead <= self.limits:
                self._report(f"waiting behind other jobs of this run for quota ({_named(ahead)})")
            self._line.join(self, ahead)
            if not self._pause(deadline):
                return False
        if self.limits:
            self._check()
        return True

    def holders(self, limits: Collection[Limit]) -> Sequence[Vm]:
        """Return the run's other VMs that hold some of these quotas."""
        return [vm for vm in self._of(limits) if vm.state.ending is not Ending.GONE]

    def await_end(self, limits: Collection[Limit], deadline: float) -> bool:
        """Wait in line until a VM ends that holds some of these quotas.

        Returns False if there is none, and after the deadline.
        """
        self._line.join(self, limits)
        if holders := self.holders(limits):
            self._report(
                f"quota {_named(limits)} is used up, and {vms_of_run(len(holders))} of it; waiting for one of them to end, at "
                f"most {max(0.0, deadline - self._clock.monotonic()):.0f} s"
            )
        while True:
            self._check()
            if self.limits.isdisjoint(self._line.limits_before(self)):
                gone = {vm.name for vm in self._of(limits) if vm.state.ending is Ending.GONE}
                if gone - self._ended:
                    return True
                if not self.holders(limits):
                    return False
            if not self._pause(deadline):
                return False

    def _of(self, limits: Collection[Limit]) -> list[Vm]:
        vms = self._line.vms(self._job)
        return [
            vm for vm in vms if vm.spec and any(limit.counts(vm.spec, vm.model, vm.zone) for limit in limits)
        ]

    def _check(self) -> None:
        if self._stop():
            raise not_started(self._job)

    def _pause(self, deadline: float) -> bool:
        """Wait before the next look. Returns False after the deadline."""
        if self._clock.monotonic() >= deadline:
            return False
        self._clock.sleep(_LOOK)
        return True


def _named(limits: Collection[Limit]) -> str:
    return ", ".join(sorted(map(str, limits)))
