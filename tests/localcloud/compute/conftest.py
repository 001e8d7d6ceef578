"""A served Compute Engine with stand-in machines, and Google's own clients for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT, Profile, email
from localcloud.engines.vm.machine import Boot, MachineEvents, MachineSpec
from localcloud.profile import PROFILE
from localcloud.services.compute import ComputeService, Pace
from tests.localcloud.served import Served
from tests.polling import eventually

Json = dict[str, Any]

ZONE = "us-central1-a"
VM_ACCOUNT = email("notebook-vm")
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
DLVM = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580"
QUICK = Pace(insert=0.03, delete=0.03, stop=0.03, shutdown=0.03)


@dataclass
class StandIn:
    """A machine that runs nothing: tests send the VM's `events`."""

    spec: MachineSpec
    events: MachineEvents
    pressed: bool = False
    killed: bool = False

    def press_power_button(self) -> None:
        self.pressed = True

    def kill(self) -> None:
        self.killed = True


class CloudFixture(Served):
    """One served Compute Engine."""

    def __init__(
        self,
        directory: Path,
        boot: Boot,
        quotas: Mapping[str, float] | None = None,
        pace: Pace = QUICK,
        profile: Profile = PROFILE,
    ) -> None:
        super().__init__()
        self.machines: list[StandIn] = []
        self.service = ComputeService(
            directory,
            self.clock,
            self.iam,
            self.faults,
            profile=replace(profile, quotas={**profile.quotas, **(quotas or {})}),
            boot=boot,
            pace=pace,
        )
        self.serve(self.service)

    def client(self, kind: type[Any], account: str | None = None) -> Any:
        return kind(**self.options(account))

    @property
    def instances(self) -> Any:
        return self.client(compute_v1.InstancesClient)

    def insert(
        self, body: Json, *, zone: str = ZONE, request_id: str | None = None, account: str | None = None
    ) -> Any:
        request = compute_v1.InsertInstanceRequest(
            project=PROJECT, zone=zone, instance_resource=compute_v1.Instance.from_json(json.dumps(body))
        )
        if request_id is not None:
            request.request_id = request_id
        return self.client(compute_v1.InstancesClient, account).insert_unary(request=request)

    def done(self, operation: Any, *, zone: str = ZONE) -> Any:
        """Wait for an operation with Google's own call."""
        client = self.client(compute_v1.ZoneOperationsClient)
        for _ in range(20):
            if operation.status == compute_v1.Operation.Status.DONE:
                return operation
            operation = client.wait(project=PROJECT, zone=zone, operation=operation.name)
        raise AssertionError(operation)

    def run(self, body: Json, *, zone: str = ZONE) -> StandIn:
        """Insert an instance and return its machine once that is booted."""
        known = len(self.machines)
        operation = self.done(self.insert(body, zone=zone), zone=zone)
        assert not operation.error.errors, operation.error.errors
        eventually(lambda: len(self.machines) > known)
        return self.machines[known]

    def get(self, name: str, *, zone: str = ZONE) -> Any:
        return self.instances.get(project=PROJECT, zone=zone, instance=name)

    def status(self, name: str, *, zone: str = ZONE) -> str | None:
        """The instance's status; None without an instance."""
        found = {
            vm["name"]: vm["status"]
            for vm in self.service.inventory()["compute.instances"]
            if vm["zone"] == zone
        }
        return found.get(name)

    def operations(self, kind: str, *, zone: str = ZONE) -> list[Any]:
        client = self.client(compute_v1.ZoneOperationsClient)
        request = compute_v1.ListZoneOperationsRequest(
            project=PROJECT, zone=zone, filter=f'operationType="{kind}"'
        )
        return list(client.list(request=request))


def vm_body(name: str = "vm-1", **changes: Any) -> Json:
    """A valid body, with some fields replaced."""
    body: Json = {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/e2-standard-4",
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {"sourceImage": IMAGE, "diskName": f"{name}-boot", "diskSizeGb": "20"},
            }
        ],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "metadata": {"items": [{"key": "startup-script", "value": "echo hello"}]},
    }
    return body | copy.deepcopy(changes)


def gpu_body(**changes: Any) -> Json:
    """A body with an attached T4."""
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": DLVM}}
    gpu = {
        "acceleratorType": f"projects/{PROJECT}/zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4",
        "acceleratorCount": 1,
    }
    return vm_body(
        machineType=f"zones/{ZONE}/machineTypes/n1-standard-4",
        disks=[disk],
        guestAccelerators=[gpu],
        scheduling={"onHostMaintenance": "TERMINATE"},
    ) | copy.deepcopy(changes)


@pytest.fixture(name="cloud_fixture")
def _world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CloudFixture]:
    """Serve one with stand-in machines; `parametrize("cloud_fixture", [{...}], indirect=True)` sets quotas."""
    machines: list[StandIn] = []

    def boot(spec: MachineSpec, events: MachineEvents) -> StandIn:
        machines.append(StandIn(spec, events))
        return machines[-1]

    cloud_fixture = CloudFixture(tmp_path, boot, getattr(request, "param", None))
    cloud_fixture.machines = machines
    yield cloud_fixture
    cloud_fixture.close()
    assert all(machine.killed for machine in machines)
