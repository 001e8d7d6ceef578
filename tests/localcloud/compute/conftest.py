"""A served Compute Engine with stand-in machines, and Google's own clients for it."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1
from google.oauth2.credentials import Credentials
from werkzeug import Response

from localcloud.clock import Clock
from localcloud.compute import ComputeService, Pace
from localcloud.compute.power import Boot
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import PROJECT, Iam, email
from localcloud.machine.machine import MachineEvents, MachineSpec
from localcloud.server import Server

Json = dict[str, Any]

ZONE = "us-central1-a"
VM_ACCOUNT = email("vm")
IMAGE = "projects/debian-cloud/global/images/family/debian-12"
DLVM = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580"
QUICK = Pace(insert=0.03, delete=0.03, stop=0.03, shutdown=0.03)


@dataclass
class StandIn:
    """A machine that runs nothing: tests speak for its guest through `events`."""

    spec: MachineSpec
    events: MachineEvents
    killed: bool = False
    told: bool = False

    def soft_off(self) -> None:
        self.told = True

    def kill(self) -> None:
        self.killed = True


@dataclass
class World:
    """One served Compute Engine."""

    clock: Clock
    faults: FaultPlan
    iam: Iam
    findings: Findings
    service: ComputeService
    url: str
    machines: list[StandIn] = field(default_factory=list)

    def client(self, kind: type[Any], account: str | None = None) -> Any:
        credentials: Any = AnonymousCredentials()
        if account is not None:
            credentials = Credentials(token=self.iam.token(email(account))[0])
        return kind(credentials=credentials, client_options={"api_endpoint": self.url})

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
        """The instance's status; None when there is none."""
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


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.005)


def vm_body(name: str = "vm-1", **changes: Any) -> Json:
    """A body that is accepted, with some fields replaced."""
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


@contextlib.contextmanager
def served(
    directory: Path, boot: Boot, quotas: Mapping[str, float] | None = None, pace: Pace = QUICK
) -> Iterator[World]:
    """Serve a Compute Engine; at its end, nothing must have been wrong with it and every fault consumed."""
    clock, faults, iam, findings = Clock(), FaultPlan(), Iam(), Findings()
    service = ComputeService(directory, clock, iam, faults, boot=boot, pace=pace, quotas=quotas)
    server = Server(
        services=[service],
        raw_services=[],
        control=lambda _request: Response(),
        iam=iam,
        faults=faults,
        findings=findings,
    )
    server.start()
    try:
        yield World(clock, faults, iam, findings, service, server.url)
    finally:
        server.close()
        service.close()
        clock.close()
    noticed = findings.inventory()
    assert noticed["schema_violations"] == []
    assert noticed["internal_errors"] == []
    assert all(fault["consumed"] == fault["times"] for fault in faults.inventory())


@pytest.fixture(name="world")
def _world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Serve one with stand-in machines; `@pytest.mark.parametrize("world", [{...}], indirect=True)` sets quotas."""
    machines: list[StandIn] = []

    def boot(spec: MachineSpec, events: MachineEvents) -> StandIn:
        machines.append(StandIn(spec, events))
        return machines[-1]

    with served(tmp_path, boot, getattr(request, "param", None)) as world:
        world.machines = machines
        yield world
    assert all(machine.killed for machine in machines)
