"""The Compute service: puts state, operations, life and handlers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.compute.inserts import Attempt, Inserts
from localcloud.compute.instances import Instances
from localcloud.compute.life import Life, Pace
from localcloud.compute.lookups import Lookups
from localcloud.compute.operations import Operations
from localcloud.compute.power import Boot, Power
from localcloud.compute.quotas import Quotas
from localcloud.compute.state import State
from localcloud.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localcloud.clock import Clock
    from localcloud.faults import FaultPlan
    from localcloud.iam import Iam
    from localcloud.service import Handler

Json = dict[str, Any]


class ComputeService:
    """Compute Engine of one project. Its state lives in memory; what earlier instances left on disk is removed.

    `boot` makes a machine of a spec, `pace` says how long things take, `quotas` overrides limits by metric.
    """

    api = "compute.v1"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        iam: Iam,
        faults: FaultPlan,
        *,
        boot: Boot = Machine.boot,
        pace: Pace | None = None,
        quotas: Mapping[str, float] | None = None,
    ) -> None:
        self._clock = clock
        self._state = State()
        self._power = Power(self._state, iam, boot, state_dir / "vms")
        self._power.forget_earlier()
        limits = Quotas(quotas or {})
        operations = Operations(clock, self._state.changed)
        life = Life(self._state, operations, self._power, clock=clock, faults=faults, pace=pace or Pace())
        self._inserts = Inserts(self._state, operations, life, quotas=limits, clock=clock, iam=iam)
        instances = Instances(self._state, operations, life, self._inserts, clock)
        self._handlers = {**Lookups(self._state, limits).handlers(), **instances.handlers()}

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def inserts(self) -> list[Attempt]:
        """Return every insert that has arrived, accepted or not, in order."""
        return list(self._inserts.attempts)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the instances and disks that exist now."""
        with self._state.changed:
            instances = [
                {
                    "name": vm.wanted.name,
                    "zone": vm.wanted.zone,
                    "id": vm.id,
                    "status": vm.status,
                    "labels": dict(vm.labels),
                    "machineType": vm.wanted.machine.name,
                    "scheduling": vm.schedule.view(),
                    "serviceAccounts": [vm.wanted.account] if vm.wanted.account else [],
                    "deadline": None if vm.deadline is None else self._clock.timestamp(vm.deadline),
                }
                for vm in self._state.vms.values()
            ]
            disks = [
                {
                    "name": d.name,
                    "zone": d.zone,
                    "sizeGb": d.size_gb,
                    "labels": dict(d.labels),
                    "user": d.user,
                }
                for d in self._state.disks.values()
            ]
        return {"compute.instances": instances, "compute.disks": disks}

    def close(self) -> None:
        """Power off every instance; returns when no process of theirs is left."""
        with self._state.changed:
            vms = list(self._state.vms.values())
            for vm in vms:
                vm.cancel_timers()
                vm.status = "STOPPING"
        for vm in vms:
            self._power.kill(vm)
