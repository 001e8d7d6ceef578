"""The Compute service: connects state, operations, life and handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core.service import Part
from localcloud.engines.vm.machine import Machine
from localcloud.services.compute import catalog
from localcloud.services.compute.calls import Instances
from localcloud.services.compute.calls_catalog import Lookups
from localcloud.services.compute.calls_insert import Inserts
from localcloud.services.compute.calls_networks import NetworkCalls
from localcloud.services.compute.life import Life, Pace
from localcloud.services.compute.power import Power
from localcloud.services.compute.quotas import Quotas
from localcloud.services.compute.rules_policies import check_known
from localcloud.services.compute.state import State
from localcloud.services.compute.state_networks import Networks
from localcloud.services.compute.state_operations import Operations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localcloud.core.clock import Clock
    from localcloud.core.faults import FaultPlan
    from localcloud.core.iam import Iam, Profile
    from localcloud.core.service import Handler
    from localcloud.engines.vm.machine import Boot

Json = dict[str, Any]


class ComputeService(Part):
    """Compute Engine of one project. Its state is in memory; files of earlier instances are removed.

    `profile` has its networks, its organization policies (ValueError for one that is not enforced here), and the quotas
    that differ from the catalogue's; `boot` makes a machine of a spec, and `pace` has the durations.
    """

    api = "compute.v1"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        iam: Iam,
        faults: FaultPlan,
        *,
        profile: Profile,
        boot: Boot = Machine.boot,
        pace: Pace | None = None,
    ) -> None:
        self._clock = clock
        self._state = State()
        self._networks = Networks(
            state_dir / "compute", profile.networks, open_default=profile.private_google_access
        )
        self._power = Power(self._state, iam, boot, state_dir / "vms", self._networks)
        self._power.forget_earlier()
        limits = Quotas(profile.quotas)
        self._operations = operations = Operations(clock, self._state.changed)
        life = Life(self._state, operations, self._power, clock=clock, faults=faults, pace=pace or Pace())
        check_known(profile.policies)
        inserts = Inserts(
            self._state,
            operations,
            life,
            networks=self._networks,
            quotas=limits,
            clock=clock,
            iam=iam,
            policies=profile.policies,
        )
        instances = Instances(self._state, operations, life, inserts, clock)
        self._handlers = {
            **Lookups(self._state, limits).handlers(),
            **NetworkCalls(self._networks, operations).handlers(),
            **instances.handlers(),
        }

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def is_heard(self, vm: str) -> bool:
        """True if requests of an instance, named by its path, reach Google's APIs now."""
        with self._state.changed:
            found = next((each for each in self._state.vms.values() if each.wanted.path == vm), None)
            if found is None or found.cut_off:
                return False
            region = catalog.region_of(found.wanted.zone)
            return self._networks.reaches_google(region, found.wanted.interface)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the instances and disks that exist now."""
        with self._state.changed:
            instances = [
                {
                    "name": vm.wanted.name,
                    "zone": vm.wanted.zone,
                    "id": vm.id,
                    "status": vm.status,
                    "labels": dict(vm.wanted.labels),
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
        """Power off every instance; returns once their processes are gone."""
        self._power.close()
