"""Refusals of an insert, with field and message: one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError

from localcloud.core.errors import ApiError
from localcloud.core.iam import PROJECT
from localcloud.services.compute.rules import read
from localcloud.services.compute.state_networks import Networks
from tests.localcloud.compute.conftest import DLVM, IMAGE, VM_ACCOUNT, ZONE, CloudFixture, gpu_body, vm_body

Json = dict[str, Any]

_DLVM_IMAGES = "projects/deeplearning-platform-release/global/images"


def _disk(**params: Any) -> Json:
    return {"disks": [{"boot": True, "initializeParams": {"sourceImage": IMAGE} | params}]}


def _machine(name: str) -> Json:
    return {"machineType": f"zones/{ZONE}/machineTypes/{name}"}


def _gpu(name: str, count: int = 1, zone: str = ZONE) -> Json:
    kind = f"projects/{PROJECT}/zones/{zone}/acceleratorTypes/{name}"
    return {"guestAccelerators": [{"acceleratorType": kind, "acceleratorCount": count}]}


def _metadata(*items: tuple[str, str]) -> Json:
    return {"metadata": {"items": [{"key": key, "value": value} for key, value in items]}}


def _network(**interface: str) -> Json:
    return {"networkInterfaces": [interface]}


_LIMIT = {"maxRunDuration": {"seconds": "3600"}}

_REFUSED: dict[str, tuple[Json, int, str, str]] = {
    "name: capital": (vm_body(name="Vm"), 400, "invalid", "'Vm'"),
    "name: 64 long": (vm_body(name="a" * 64), 400, "invalid", "resource.name"),
    "machine: missing": (vm_body(machineType=""), 400, "required", "resource.machineType"),
    "machine: bare name": (vm_body(machineType="e2-standard-4"), 400, "invalid", "The URL is malformed."),
    "machine: unknown": (
        vm_body(**_machine("e9-standard-4")),
        400,
        "invalid",
        "does not exist in zone 'us-central1-a'",
    ),
    "machine: other zone": (
        vm_body(machineType="zones/us-east1-b/machineTypes/e2-standard-4"),
        400,
        "invalid",
        "zone",
    ),
    "disks: none": (vm_body(disks=[]), 400, "invalid", "No disks are specified."),
    "disks: no boot": (
        vm_body(disks=[{"initializeParams": {"sourceImage": IMAGE}}]),
        400,
        "invalid",
        "Boot disk must be the first",
    ),
    "disks: two boot": (
        vm_body(disks=[_disk()["disks"][0], _disk(diskName="b")["disks"][0]]),
        400,
        "invalid",
        "one",
    ),
    "disks: nothing to boot": (
        vm_body(disks=[{"boot": True}]),
        400,
        "invalid",
        "Either source or initializeParams",
    ),
    "disk: smaller than image": (
        vm_body(**_disk(sourceImage=DLVM, diskSizeGb="40")),
        400,
        "invalid",
        "Requested disk size cannot be smaller than the image size (50 GB)",
    ),
    "disk: 9 GB": (vm_body(**_disk(diskSizeGb="9")), 400, "invalid", "smaller than the image size (10 GB)"),
    "disk: too large": (vm_body(**_disk(diskSizeGb="70000")), 400, "invalid", "between 10 GB and 65536 GB"),
    "disk type: bare name": (vm_body(**_disk(diskType="pd-ssd")), 400, "invalid", "The URL is malformed."),
    "disk type: unknown": (
        vm_body(**_disk(diskType=f"zones/{ZONE}/diskTypes/pd-none")),
        400,
        "invalid",
        "diskType resource cannot be found",
    ),
    "disk type: not on G2": (
        vm_body(
            **_machine("g2-standard-4"),
            **_disk(diskType=f"zones/{ZONE}/diskTypes/pd-standard", diskSizeGb="50"),
            scheduling={"onHostMaintenance": "TERMINATE"},
        ),
        400,
        "badRequest",
        "[g2-standard-4, pd-standard] features are not compatible",
    ),
    "disk: labels": (vm_body(**_disk(labels={"Run": "1"})), 400, "invalid", "'Run: 1' is no label"),
    "image: bare name": (vm_body(**_disk(sourceImage="debian-12")), 400, "invalid", "The URL is malformed."),
    "image: unknown": (
        vm_body(**_disk(sourceImage=f"{_DLVM_IMAGES}/none")),
        404,
        "notFound",
        f"'{_DLVM_IMAGES}/none' was not found",
    ),
    "image: deprecated family": (
        vm_body(**_disk(sourceImage=f"{_DLVM_IMAGES}/family/common-cu128-ubuntu-2204-nvidia-570")),
        404,
        "notFound",
        f"The resource '{_DLVM_IMAGES}/family/common-cu128-ubuntu-2204-nvidia-570' was not found",
    ),
    "image: obsolete": (
        vm_body(**_disk(sourceImage=f"{_DLVM_IMAGES}/tf-2-17-cu123-debian-11-v20250701")),
        400,
        "invalid",
        "obsolete",
    ),
    "gpu: live migration": (
        gpu_body(scheduling={}),
        400,
        "badRequest",
        "Instances with guest accelerators do not support live migration.",
    ),
    "gpu built in: live migration": (
        vm_body(**_machine("g2-standard-4"), **_disk(diskSizeGb="50")),
        400,
        "badRequest",
        "do not support live migration",
    ),
    "gpu: not in this zone": (
        gpu_body(**_gpu("nvidia-tesla-p100")),
        404,
        "notFound",
        f"'projects/{PROJECT}/zones/{ZONE}/acceleratorTypes/nvidia-tesla-p100' was not found",
    ),
    "gpu: not on E2": (
        gpu_body(**_machine("e2-standard-4")),
        400,
        "badRequest",
        "[e2-standard-4, nvidia-tesla-t4]",
    ),
    "gpu: L4 not on N1": (gpu_body(**_gpu("nvidia-l4")), 400, "badRequest", "[n1-standard-4, nvidia-l4]"),
    "gpu: three": (gpu_body(**_gpu("nvidia-tesla-t4", 3)), 400, "invalid", "counts: [1, 2, 4]"),
    "gpu: too many CPUs": (
        gpu_body(**_gpu("nvidia-tesla-v100"), **_machine("n1-standard-16")),
        400,
        "badRequest",
        "[n1-standard-16, nvidia",
    ),
    "gpu: bare name": (
        gpu_body(guestAccelerators=[{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]),
        400,
        "invalid",
        "The URL is malformed.",
    ),
    "gpu: small boot disk": (
        vm_body(
            **_machine("g2-standard-4"),
            **_disk(diskSizeGb="30"),
            scheduling={"onHostMaintenance": "TERMINATE"},
        ),
        400,
        "invalid",
        "at least 40 GB",
    ),
    "spot: automatic restart": (
        vm_body(scheduling={"provisioningModel": "SPOT", "automaticRestart": True}),
        400,
        "invalid",
        "Scheduling must have preemptible be false when AutomaticRestart is true.",
    ),
    "spot: live migration": (
        vm_body(scheduling={"provisioningModel": "SPOT", "onHostMaintenance": "MIGRATE"}),
        400,
        "invalid",
        "preemptible",
    ),
    "termination action without limit": (
        vm_body(scheduling={"instanceTerminationAction": "DELETE"}),
        400,
        "invalid",
        "termination action",
    ),
    "run duration: 29 s": (
        vm_body(scheduling={"maxRunDuration": {"seconds": "29"}}),
        400,
        "invalid",
        "between 30 seconds and 120 days",
    ),
    "run duration: 121 days": (
        vm_body(scheduling={"maxRunDuration": {"seconds": str(121 * 86400)}}),
        400,
        "invalid",
        "120 days",
    ),
    "labels": (vm_body(labels={"1a": "b"}), 400, "invalid", "'1a: b' is no label"),
    "metadata: key": (vm_body(**_metadata(("a b", "v"))), 400, "invalid", "metadata.items[0].key"),
    "metadata: twice": (vm_body(**_metadata(("a", "v"), ("a", "w"))), 400, "invalid", "duplicate keys: a"),
    "metadata: value too large": (
        vm_body(**_metadata(("a", "x" * (256 * 1024 + 1)))),
        400,
        "fieldSizeTooLarge",
        "maximum size 262144",
    ),
    "metadata: all too large": (
        vm_body(**_metadata(*((k, "x" * 200_000) for k in "abc"))),
        400,
        "fieldSizeTooLarge",
        "maximum size 524288",
    ),
    "accounts: two": (
        vm_body(serviceAccounts=[{"email": VM_ACCOUNT}, {"email": VM_ACCOUNT}]),
        400,
        "invalid",
        "At most one",
    ),
    "network: unknown": (
        vm_body(**_network(network="global/networks/none")),
        404,
        "notFound",
        "global/networks/none' was not found",
    ),
    "network: custom without subnetwork": (
        vm_body(**_network(network="global/networks/custom")),
        400,
        "invalid",
        "for custom subnetmode network",
    ),
    "network: bare name": (vm_body(**_network(network="default")), 400, "invalid", "The URL is malformed."),
    "subnetwork: unknown": (
        vm_body(**_network(subnetwork="regions/us-central1/subnetworks/none")),
        404,
        "notFound",
        "subnetworks/none'",
    ),
    "subnetwork: other region": (
        vm_body(**_network(subnetwork="regions/us-east1/subnetworks/default")),
        400,
        "invalid",
        "in the region",
    ),
    "subnetwork: other network": (
        vm_body(
            **_network(
                network="global/networks/default", subnetwork="regions/us-central1/subnetworks/custom-central"
            )
        ),
        400,
        "invalid",
        "does not belong to the network 'default'",
    ),
    "interfaces: none": (vm_body(networkInterfaces=[]), 400, "invalid", "At least one network interface"),
    "disk: name": (vm_body(**_disk(diskName="A_b")), 400, "invalid", "disks[0].initializeParams.diskName"),
    "disk: boot read-only": (
        vm_body(disks=[_disk()["disks"][0] | {"mode": "READ_ONLY"}]),
        400,
        "invalid",
        "READ_WRITE",
    ),
    **{
        f"not here: {field}": (
            vm_body(**change),
            501,
            "notImplemented",
            f"localcloud's instances have no {field}",
        )
        for field, change in (
            ("resource.canIpForward", {"canIpForward": True}),
            ("resource.deletionProtection", {"deletionProtection": True}),
            ("resource.disks[0].source", {"disks": [{"boot": True, "source": f"zones/{ZONE}/disks/d"}]}),
            ("resource.minCpuPlatform", {"minCpuPlatform": "Intel Skylake"}),
            ("resource.tags", {"tags": {"items": ["net"]}}),
            (
                "resource.reservationAffinity.consumeReservationType",
                {"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION"}},
            ),
            ("resource.scheduling.skipGuestOsShutdown", {"scheduling": {"skipGuestOsShutdown": True}}),
            ("resource.scheduling.preemptible", {"scheduling": {"preemptible": True}}),
            (
                "resource.scheduling.terminationTime",
                {"scheduling": {"terminationTime": "2999-01-01T00:00:00Z"}},
            ),
            (
                "resource.scheduling.maxRunDuration.nanos",
                {"scheduling": {"maxRunDuration": {"seconds": "60", "nanos": 1}}},
            ),
            ("resource.disks[0].initializeParams.provisionedIops", _disk(provisionedIops="3000")),
            ("resource.networkInterfaces[0].nicType", _network(nicType="GVNIC")),
        )
    },
    "interfaces: two": (vm_body(networkInterfaces=[{}, {}]), 400, "invalid", "one network interface"),
    "shielded: no TPM": (
        vm_body(shieldedInstanceConfig={"enableVtpm": False}),
        400,
        "invalid",
        "virtual TPM",
    ),
}


@pytest.mark.parametrize(("body", "status", "reason", "text"), _REFUSED.values(), ids=_REFUSED.keys())
def test_refused_at_once(
    cloud_fixture: CloudFixture, body: Json, status: int, reason: str, text: str
) -> None:
    with pytest.raises(GoogleAPICallError) as caught:
        cloud_fixture.insert(body)
    assert (caught.value.code, caught.value.errors[0]["reason"]) == (status, reason)
    assert text in caught.value.message
    assert cloud_fixture.service.inventory() == {"compute.instances": [], "compute.disks": []}


_ACCEPTED: dict[str, Json] = {
    "full machine URL": vm_body(
        machineType=f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{ZONE}/machineTypes/e2-standard-4"
    ),
    "exact image, full URL": vm_body(
        **_disk(
            sourceImage="https://compute.googleapis.com/compute/v1/projects/debian-cloud/global/images/family/debian-12"
        )
    ),
    "attached T4": gpu_body(),
    "built-in L4": vm_body(
        **_machine("g2-standard-4"),
        **_disk(diskType=f"zones/{ZONE}/diskTypes/pd-balanced", diskSizeGb="50"),
        scheduling={"onHostMaintenance": "TERMINATE"},
    ),
    "built-in A100, said again": vm_body(
        **_machine("a2-highgpu-1g"),
        **_disk(diskSizeGb="50"),
        **_gpu("nvidia-tesla-a100"),
        scheduling={"onHostMaintenance": "TERMINATE"},
    ),
    "C3": vm_body(**_machine("c3-standard-4")),
    "spot": vm_body(scheduling={"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}),
    "limit with DELETE": vm_body(
        scheduling=_LIMIT | {"instanceTerminationAction": "DELETE", "automaticRestart": False}
    ),
    "custom network": vm_body(
        **_network(
            network="global/networks/custom", subnetwork="regions/us-central1/subnetworks/custom-central"
        )
    ),
    "fields in words that change nothing": vm_body(
        canIpForward=False,
        displayDevice={"enableDisplay": False},
        reservationAffinity={"consumeReservationType": "ANY_RESERVATION"},
    ),
    "external address": vm_body(networkInterfaces=[{"accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}]),
    "labels": vm_body(labels={"a-b_1": "", "c": "x-1"}),
    "data disk": vm_body(disks=[*_disk()["disks"], {"initializeParams": {"diskSizeGb": "10"}}]),
}


@pytest.mark.parametrize("body", _ACCEPTED.values(), ids=_ACCEPTED.keys())
def test_accepted_and_printed(cloud_fixture: CloudFixture, body: Json) -> None:
    cloud_fixture.run(body)
    found = cloud_fixture.get("vm-1")
    assert found.status == "RUNNING"
    assert found.machine_type.endswith(body["machineType"].rpartition("/")[2])
    assert found.disks[0].boot
    assert int(found.id) > 0


def test_unknown_zone(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(
        GoogleAPICallError, match=r"Invalid value for field 'zone': 'us-central1'. Unknown zone."
    ) as caught:
        cloud_fixture.insert(vm_body(), zone="us-central1")
    assert caught.value.code == 400


def test_machine_types_and_gpus_differ_between_zones(cloud_fixture: CloudFixture) -> None:
    body = vm_body(machineType="zones/us-central1-f/machineTypes/g2-standard-4")
    with pytest.raises(GoogleAPICallError, match="does not exist in zone 'us-central1-f'"):
        cloud_fixture.insert(body, zone="us-central1-f")


def test_what_is_not_said_has_google_s_defaults(cloud_fixture: CloudFixture) -> None:
    body = vm_body(scheduling={"provisioningModel": "SPOT"}, disks=_disk()["disks"])
    cloud_fixture.run(body)
    found = cloud_fixture.get("vm-1")
    assert found.scheduling.instance_termination_action == "STOP"
    assert found.scheduling.on_host_maintenance == "TERMINATE"
    assert not found.scheduling.automatic_restart
    assert not found.disks[0].auto_delete
    assert (found.disks[0].disk_size_gb, found.disks[0].source.rpartition("/")[2]) == (10, "vm-1")
    assert found.network_interfaces[0].network.endswith("/global/networks/default")
    assert not found.service_accounts


def test_a_body_without_a_name_is_refused(tmp_path: Path) -> None:
    networks = Networks(tmp_path, ("default",), open_default=True)
    with pytest.raises(ApiError, match=r"Required field 'resource\.name' not specified"):
        read(PROJECT, ZONE, {"machineType": "x"}, networks)
