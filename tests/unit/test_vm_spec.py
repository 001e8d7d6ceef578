"""The body of every insert: what it always carries, and what differs for GPUs, networks and images."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from builder.model import Accelerator
from builder.options import MachineOptions
from builder.plan.vm_spec import Attempt, Limits, insert_body, label_value, vm_labels
from builder.ports import Image

SPEC = MachineOptions(
    zones=("us-central1-a",),
    boot_disk_gb=100,
    vm_service_account="notebook-vm@my-project.iam.gserviceaccount.com",
    labels={"team": "data"},
)
IMAGE = Image(path="projects/i/global/images/x", family="f", disk_gb=50, deprecated=False, uefi=True)
LIMITS = Limits(boot=600, notebook=2400)
ATTEMPT = Attempt(run="run-1", job="demo", number=1, nonce="00ff")


def body(spec: MachineOptions = SPEC, image: Image = IMAGE) -> dict[str, Any]:
    return insert_body(
        spec,
        project="p",
        zone="us-central1-a",
        name="nb-0123456789ab-a1t1",
        image=image,
        limits=LIMITS,
        labels=vm_labels(ATTEMPT, spec, 1_800_000_000),
        startup_script="#!/bin/bash",
        job_metadata={"nonce": "00ff"},
    )


def test_every_vm_ends_by_itself() -> None:
    scheduling = body()["scheduling"]
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert int(scheduling["maxRunDuration"]["seconds"]) == LIMITS.vm > LIMITS.boot + LIMITS.notebook
    assert scheduling["automaticRestart"] is False
    assert body()["disks"][0]["autoDelete"] is True


def test_vm_and_disk_carry_whose_they_are() -> None:
    wanted = {
        "team": "data",
        "nb-tool": "notebook-builder",
        "nb-run": "run-1",
        "nb-job": "demo",
        "nb-nonce": "00ff",
        "nb-deadline": "1800000000",
    }
    assert body()["labels"] == wanted
    assert body()["disks"][0]["initializeParams"]["labels"] == wanted


def test_the_disk_has_a_name_of_its_own_so_that_no_older_disk_is_attached() -> None:
    assert body()["disks"][0]["initializeParams"]["diskName"] == "nb-0123456789ab-a1t1-boot"


def test_the_disk_is_never_smaller_than_the_image() -> None:
    small = replace(SPEC, boot_disk_gb=20)
    assert body(small)["disks"][0]["initializeParams"]["diskSizeGb"] == "50"


def test_no_external_address_unless_asked_for() -> None:
    assert "accessConfigs" not in body()["networkInterfaces"][0]
    assert body(replace(SPEC, external_ip=True))["networkInterfaces"][0]["accessConfigs"]


@pytest.mark.parametrize(
    ("network", "subnetwork", "expected"),
    [
        pytest.param(None, None, {"network": "projects/p/global/networks/default"}, id="default"),
        pytest.param("vpc", None, {"network": "projects/p/global/networks/vpc"}, id="network"),
        pytest.param(
            None, "sub", {"subnetwork": "projects/p/regions/us-central1/subnetworks/sub"}, id="subnetwork"
        ),
        pytest.param(
            None,
            "projects/host/regions/us-central1/subnetworks/sub",
            {"subnetwork": "projects/host/regions/us-central1/subnetworks/sub"},
            id="subnetwork's path",
        ),
    ],
)
def test_networks_by_name_or_path(
    network: str | None, subnetwork: str | None, expected: dict[str, str]
) -> None:
    spec = replace(SPEC, network=network, subnetwork=subnetwork)
    assert body(spec)["networkInterfaces"] == [expected]


def test_t4_is_attached_to_n1_and_cannot_migrate() -> None:
    spec = replace(SPEC, machine_type="n1-standard-4", accelerator=Accelerator("nvidia-tesla-t4", 1))
    assert body(spec)["guestAccelerators"] == [
        {
            "acceleratorType": "projects/p/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4",
            "acceleratorCount": 1,
        }
    ]
    assert body(spec)["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert body(spec)["disks"][0]["initializeParams"]["diskType"].endswith("/pd-balanced")


@pytest.mark.parametrize(
    ("machine_type", "policy"),
    [
        pytest.param("e2-standard-4", "MIGRATE", id="e2"),
        pytest.param("z3-highmem-14-standardlssd", "MIGRATE", id="z3"),
        pytest.param("h3-standard-88", "TERMINATE", id="h3"),
        pytest.param("h4d-standard-192", "TERMINATE", id="h4d"),
        pytest.param("c4-standard-288-metal", "TERMINATE", id="metal"),
    ],
)
def test_only_types_that_can_migrate_live_are_asked_to(machine_type: str, policy: str) -> None:
    """Compute Engine refuses the other value."""
    assert body(replace(SPEC, machine_type=machine_type))["scheduling"]["onHostMaintenance"] == policy


def test_g2_has_its_l4_built_in_and_cannot_migrate_either() -> None:
    spec = replace(SPEC, machine_type="g2-standard-4")
    assert "guestAccelerators" not in body(spec)
    assert body(spec)["scheduling"]["onHostMaintenance"] == "TERMINATE"


@pytest.mark.parametrize(
    ("machine_type", "expected"),
    [
        *((name, "pd-balanced") for name in ("e2-standard-4", "n1-standard-4", "custom-4-8192", "n2d-standard-2")),
        *((name, "pd-balanced") for name in ("m2-ultramem-208", "t2d-standard-4", "a2-highgpu-1g", "g2-standard-4")),
        *((name, "pd-balanced") for name in ("c3-standard-4", "c3d-standard-4", "m3-megamem-64")),
        *((f"a3-highgpu-{count}g", "pd-balanced") for count in (1, 2, 4)),
        *((f"a3-{kind}gpu-8g", "hyperdisk-balanced") for kind in ("high", "mega", "ultra")),
        *((name, "hyperdisk-balanced") for name in ("h3-standard-88", "z3-highmem-88", "a4-highgpu-8g", "g4-standard-48")),
        *((name, "hyperdisk-balanced") for name in ("n4-standard-4", "n4d-standard-4", "n4a-standard-4", "c4-standard-4")),
        *((name, "hyperdisk-balanced") for name in ("c4a-standard-4", "c4d-standard-4", "h4d-standard-192", "x4-480-8t-metal")),
        ("n5-standard-4", "hyperdisk-balanced"),  # newer than the documentation that this follows
    ],
)  # fmt: skip
def test_the_boot_disk_is_one_that_the_series_takes(machine_type: str, expected: str) -> None:
    spec = replace(SPEC, machine_type=machine_type)
    assert body(spec)["disks"][0]["initializeParams"]["diskType"].endswith(f"/{expected}")


def test_the_boot_disk_is_of_the_type_that_was_asked_for() -> None:
    spec = replace(SPEC, boot_disk_type="pd-ssd")
    assert body(spec)["disks"][0]["initializeParams"]["diskType"].endswith("/pd-ssd")


def test_shielded_options_only_where_the_image_supports_them() -> None:
    assert body()["shieldedInstanceConfig"]["enableVtpm"] is True
    assert body()["shieldedInstanceConfig"]["enableIntegrityMonitoring"] is True
    assert "shieldedInstanceConfig" not in body(image=replace(IMAGE, uefi=False))


@pytest.mark.parametrize(
    ("asked", "machine_type", "expected"),
    [
        pytest.param(None, "e2-standard-4", True, id="default without a GPU"),
        pytest.param(None, "g2-standard-4", False, id="default with a GPU"),
        pytest.param(True, "g2-standard-4", True, id="on"),
        pytest.param(False, "e2-standard-4", False, id="off"),
    ],
)
def test_secure_boot(asked: bool | None, machine_type: str, expected: bool) -> None:  # noqa: FBT001
    spec = replace(SPEC, machine_type=machine_type, secure_boot=asked)
    assert body(spec)["shieldedInstanceConfig"]["enableSecureBoot"] is expected


def test_metadata_holds_the_script_the_job_and_no_way_in() -> None:
    items = {item["key"]: item["value"] for item in body()["metadata"]["items"]}
    assert items["startup-script"] == "#!/bin/bash"
    assert items["nb-job"] == '{"nonce": "00ff"}'
    assert (items["block-project-ssh-keys"], items["serial-port-enable"]) == ("TRUE", "FALSE")


def test_names_are_valid_and_differ_per_attempt_try_and_nonce() -> None:
    names = {
        Attempt("run-1", "demo", number, nonce).vm_name(try_number)
        for number in (1, 2)
        for nonce in ("00ff", "00fe")
        for try_number in (1, 2)
    }
    assert len(names) == 8
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


def test_the_same_call_has_the_same_request_id() -> None:
    first = ATTEMPT.request_id("insert", "z-a", "n")
    assert first == ATTEMPT.request_id("insert", "z-a", "n")
    assert first != ATTEMPT.request_id("insert", "z-b", "n")
    assert first != ATTEMPT.request_id("delete", "z-a", "n")


def test_label_values_keep_to_what_compute_accepts() -> None:
    assert label_value("Übung/Täglich 1") == "-bung-t-glich-1"
    assert len(label_value("x" * 100)) == 63
