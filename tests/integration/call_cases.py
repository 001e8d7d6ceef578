"""One case or more for each row of the list of Google calls that concerns Compute Engine and Cloud Storage."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from builder.gcp.catalog import GoogleCatalog
from builder.gcp.clients import CALL_TIMEOUT
from builder.model import Listed
from builder.plan.build_plan import Plan
from localcloud.core.iam import PROJECT
from tests.integration.cloud_fixture import ZONE, CloudFixture
from tests.integration.test_fleet import body_of


@dataclass
class Bench:
    """The targets of the calls below: a VM, an object, and the clients of both."""

    cloud_fixture: CloudFixture
    plan: Plan
    timeout: float = CALL_TIMEOUT

    def __post_init__(self) -> None:
        self.machines = self.cloud_fixture.machines(timeout=self.timeout)
        self.store = self.cloud_fixture.store(timeout=self.timeout)
        self.catalog = GoogleCatalog(
            self.cloud_fixture.access(), self.cloud_fixture.time, timeout=self.timeout
        )
        self.cloud_fixture.closing.callback(self.catalog.close)
        self.name = f"calls/{uuid.uuid4().hex}"
        self.object: Listed | None = self.cloud_fixture.store().create(
            self.name, b"bytes", content_type="text/plain"
        )
        self.vm = self.cloud_fixture.vm(self.plan)
        self.body = body_of(self.cloud_fixture, self.plan, self.vm)
        self.operation = ""

    def found(self) -> Listed:
        assert self.object is not None
        return self.object

    def insert(self) -> Any:
        made = self.machines.insert(
            ZONE, self.body, request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        )
        self.operation = made.name
        return made

    def running(self) -> None:
        made = self.cloud_fixture.machines().insert(
            ZONE, self.body, request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        )
        self.operation = made.name
        self.cloud_fixture.machines().operation(ZONE, made.name)


@dataclass(frozen=True)
class CallUnderTest:
    """One call of the builder: its method id, how it is made, and what must be so afterwards."""

    method: str
    make: Callable[[Bench], Any]
    check: Callable[[Bench, Any], object]
    before: Callable[[Bench], object] = lambda _bench: None
    variant: str = ""


CALLS = [
    CallUnderTest(
        "compute.images.getFromFamily",
        lambda b: b.machines.image_of_family("debian-cloud", "debian-12"),
        lambda _b, image: image.path.startswith("projects/debian-cloud/global/images/debian-12"),
    ),
    CallUnderTest(
        "compute.images.get",
        lambda b: b.machines.image(
            b.cloud_fixture.machines().image_of_family("debian-cloud", "debian-12").path
        ),
        lambda _b, image: "debian-12" in image.path,
    ),
    CallUnderTest(
        "compute.regions.get",
        lambda b: b.machines.zones("us-east1"),
        lambda _b, zones: zones == ["us-east1-b", "us-east1-c", "us-east1-d"],
    ),
    CallUnderTest(
        "compute.instances.insert",
        lambda b: b.insert(),
        lambda b, _: b.cloud_fixture.inserted() == [b.vm.name],
    ),
    CallUnderTest(
        "compute.zoneOperations.wait",
        lambda b: b.machines.operation(ZONE, b.operation),
        lambda _b, operation: operation.done and not operation.errors,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.get",
        lambda b: b.machines.get(ZONE, b.vm.name),
        lambda b, instance: instance.labels["nb-nonce"] == b.vm.attempt.nonce,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.aggregatedList",
        lambda b: b.machines.ours(),
        lambda b, found: [instance.name for instance in found] == [b.vm.name],
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.getSerialPortOutput",
        lambda b: b.machines.serial(ZONE, b.vm.name, 0),
        lambda _b, output: "Detected virtualization google" in output.text,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.delete",
        lambda b: b.machines.delete(ZONE, b.vm.name, request_id=str(uuid.uuid4())),
        lambda _b, operation: operation is not None,
        Bench.running,
    ),
    CallUnderTest(
        "compute.zones.list",
        lambda b: b.machines.now(),
        lambda b, now: abs(now - b.cloud_fixture.clock.now()) < 5,
    ),
    CallUnderTest(
        "compute.machineTypes.aggregatedList",
        lambda b: b.machines.zones_with("machineTypes", "e2-standard-2"),
        lambda _b, zones: ZONE in zones,
    ),
    CallUnderTest(
        "compute.acceleratorTypes.aggregatedList",
        lambda b: b.machines.zones_with("acceleratorTypes", "nvidia-tesla-t4"),
        lambda _b, zones: ZONE in zones,
    ),
    CallUnderTest(
        "compute.machineTypes.list",
        lambda b: b.machines.type_names("machineTypes", ZONE),
        lambda _b, names: "e2-standard-2" in names,
    ),
    CallUnderTest(
        "compute.acceleratorTypes.list",
        lambda b: b.machines.type_names("acceleratorTypes", ZONE),
        lambda _b, names: "nvidia-tesla-t4" in names,
    ),
    CallUnderTest(
        "compute.zoneOperations.list",
        lambda b: b.machines.cause_of_end(ZONE, b.vm.name),
        lambda _b, cause: cause == "",
    ),
    CallUnderTest(
        "compute.subnetworks.get",
        lambda b: b.machines.has_private_access(PROJECT, "us-central1", "default"),
        lambda _b, access: access is True,
    ),
    CallUnderTest(
        "compute.projects.get",
        lambda b: b.catalog.quotas(),
        lambda _b, quotas: quotas is not None,
    ),
    CallUnderTest(
        "compute.machineTypes.get",
        lambda b: b.catalog.machine_type(ZONE, "e2-standard-2"),
        lambda _b, machine: machine.cpus == 2,
    ),
    CallUnderTest(
        "compute.acceleratorTypes.get",
        lambda b: b.catalog.accelerator_type(ZONE, "nvidia-tesla-t4"),
        lambda _b, described: "T4" in described,
    ),
    CallUnderTest(
        "compute.networks.get",
        lambda b: b.catalog.network(PROJECT, "default"),
        lambda _b, network: "us-central1" in network.subnetworks,
    ),
    CallUnderTest(
        "compute.images.list",
        lambda b: b.catalog.image_families("debian-cloud"),
        lambda _b, families: "debian-12" in families,
    ),
    CallUnderTest(
        "storage.buckets.get",
        lambda b: b.store.settings(),
        lambda _b, settings: settings.location,
    ),
    CallUnderTest(
        "storage.buckets.testIamPermissions",
        lambda b: b.store.permissions(["storage.objects.create"]),
        lambda _b, allowed: allowed == {"storage.objects.create"},
    ),
    CallUnderTest(
        "storage.objects.insert",
        lambda b: b.store.create(b.name + "-new", b"new", content_type="text/plain"),
        lambda b, made: made is not None and b.cloud_fixture.store().read(b.name + "-new") == b"new",
    ),
    CallUnderTest(
        "storage.objects.insert",
        lambda b: b.store.replace(b.name, b"other", content_type="text/plain"),
        lambda b, made: made.size == 5 and b.cloud_fixture.store().read(b.name) == b"other",
        variant=", over another",
    ),
    CallUnderTest(
        "storage.objects.insert",
        lambda b: b.store.try_create(b.name),
        lambda b, _: b.cloud_fixture.store().read(b.name) == b"bytes",
        variant=", of no generation",
    ),
    CallUnderTest(
        "storage.objects.get", lambda b: b.store.read(b.name), lambda _b, content: content == b"bytes"
    ),
    CallUnderTest(
        "storage.objects.get",
        lambda b: b.store.read_newer(b.name, 0),
        lambda b, newer: newer == (b"bytes", b.object and b.object.generation),
        variant=", if newer",
    ),
    CallUnderTest(
        "storage.objects.get",
        lambda b: b.store.stat(b.name),
        lambda b, found: found == b.object,
        variant=", metadata alone",
    ),
    CallUnderTest(
        "storage.objects.list", lambda b: b.store.list(b.name), lambda b, found: found == [b.object]
    ),
    CallUnderTest(
        "storage.objects.rewrite",
        lambda b: b.store.copy(b.found(), b.name + "-copy", over=0),
        lambda b, made: made.size == 5 and b.cloud_fixture.store().read(b.name + "-copy") == b"bytes",
    ),
    CallUnderTest(
        "storage.objects.delete",
        lambda b: b.store.delete(b.name),
        lambda b, _: b.cloud_fixture.store().read(b.name) is None,
    ),
]


def label(call: CallUnderTest) -> str:
    return call.method.removeprefix("compute.").removeprefix("storage.") + call.variant
