"""What a job's VM is: names, labels, limits, and the body of its `instances.insert`. Pure; docs/facts.md 1.2 to 1.6."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from builder.model import Accelerator, JsonObject, region_of
from builder.options.boot_disks import boot_disk_types
from builder.options.checks import has_gpu
from builder.options.table import SERVER_ALLOWANCE, UPLOAD_ALLOWANCE
from builder.ports import Image

TOOL_LABEL = "nb-tool"
TOOL = "notebook-builder"
RUN_LABEL = "nb-run"
JOB_LABEL = "nb-job"
NONCE_LABEL = "nb-nonce"
DEADLINE_LABEL = "nb-deadline"
JOB_METADATA = "nb-job"
NAME_PREFIX = "nb-"
# Compute Engine's names of its provisioning models.
STANDARD = "STANDARD"
SPOT = "SPOT"


_CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_REQUEST_IDS = uuid.UUID("5c1cb1a4-6a3b-5d0e-9f0c-3d0f3f0b6c11")


@dataclass(frozen=True)
class Limits:
    """A job's time limits in seconds, and what follows from them for its VM."""

    boot: int
    notebook: int
    cell: int | None
    setup: int = 0  # as `requirements`: 0 where there is no such step
    requirements: int = 0

    @property
    def runner(self) -> int:
        """After so long the VM's own watchdog ends the runner, whatever it does."""
        return self.setup + self.requirements + self.notebook + UPLOAD_ALLOWANCE

    @property
    def vm(self) -> int:
        """maxRunDuration: after so long Compute Engine deletes the VM, whoever still lives."""
        return self.boot + self.runner + SERVER_ALLOWANCE


@dataclass(frozen=True)
class VmSpec:
    """The VM that a job asks for, apart from zone, name and exact image. Networks are names or partial URLs."""

    machine_type: str
    accelerator: Accelerator | None
    boot_disk_gb: int
    network: str | None
    subnetwork: str | None
    external_ip: bool
    service_account: str
    labels: Mapping[str, str]
    boot_disk_type: str | None = None  # None: by machine series
    secure_boot: bool | None = None  # None: as image and GPU allow

    @property
    def family(self) -> str:
        """`n1` of `n1-standard-4`."""
        return self.machine_type.partition("-")[0]

    @property
    def has_gpu(self) -> bool:
        """Whether a GPU is attached or built in."""
        return has_gpu(self.machine_type, self.accelerator)


@dataclass(frozen=True)
class Attempt:
    """One try at running a job on a VM: what makes its VM this one and no other."""

    run: str
    job: str
    number: int
    nonce: str

    def vm_name(self, try_number: int) -> str:
        """The VM's name: told before it exists, so that it can be found and deleted whatever happens."""
        digest = hashlib.sha256(f"{self.run}\0{self.job}\0{self.nonce}".encode()).hexdigest()[:12]
        return f"{NAME_PREFIX}{digest}-a{self.number}t{try_number}"

    def request_id(self, verb: str, zone: str, name: str) -> str:
        """The requestId of a call: the same call repeated is the same request."""
        return str(uuid.uuid5(_REQUEST_IDS, f"{verb}/{zone}/{name}/{self.nonce}"))


def models_to_try(provisioning: str, attempt: int, max_attempts: int) -> tuple[str, ...]:
    """The provisioning models that an attempt (from 1) asks for, in order; each in every allowed zone before the next."""
    if provisioning == "standard" or (provisioning != "spot" and attempt == max_attempts > 1):
        return (STANDARD,)
    return (SPOT,) if provisioning == "spot" else (SPOT, STANDARD)


def label_value(text: str) -> str:
    """The text as a label's value: lower case, digits, `-` and `_`, at most 63."""
    cleaned = "".join(
        char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in text.lower()
    )
    return cleaned[:63]


def vm_labels(attempt: Attempt, spec: VmSpec, deadline: int) -> dict[str, str]:
    """The labels of VM and disk. `deadline`: seconds since the epoch after which the sweep may take it."""
    return {
        **spec.labels,
        TOOL_LABEL: TOOL,
        RUN_LABEL: label_value(attempt.run),
        JOB_LABEL: label_value(attempt.job),
        NONCE_LABEL: attempt.nonce,
        DEADLINE_LABEL: str(deadline),
    }


def insert_body(
    spec: VmSpec,
    *,
    project: str,
    zone: str,
    name: str,
    image: Image,
    limits: Limits,
    labels: Mapping[str, str],
    startup_script: str,
    job_metadata: JsonObject,
    model: str = STANDARD,
) -> JsonObject:
    """The body of `instances.insert`, in REST names. `model` is the provisioning model, STANDARD or SPOT."""
    body: JsonObject = {
        "name": name,
        "description": f"Runs a notebook for {TOOL}; deleted after {limits.vm} s at the latest.",
        "machineType": f"zones/{zone}/machineTypes/{spec.machine_type}",
        "labels": dict(labels),
        "disks": [_boot_disk(spec, zone=zone, name=name, image=image, labels=labels)],
        "networkInterfaces": [_network_interface(spec, project=project, zone=zone)],
        "serviceAccounts": [{"email": spec.service_account, "scopes": [_CLOUD_PLATFORM]}],
        "scheduling": {
            "provisioningModel": model,
            "automaticRestart": False,
            "onHostMaintenance": "TERMINATE" if spec.has_gpu or model == SPOT else "MIGRATE",
            "instanceTerminationAction": "DELETE",
            "maxRunDuration": {"seconds": str(limits.vm)},
        },
        "metadata": {
            "items": [
                {"key": "startup-script", "value": startup_script},
                {"key": JOB_METADATA, "value": json.dumps(job_metadata, sort_keys=True)},
                {"key": "block-project-ssh-keys", "value": "TRUE"},
                {"key": "serial-port-enable", "value": "FALSE"},
            ]
        },
    }
    if image.uefi:
        body["shieldedInstanceConfig"] = {
            "enableSecureBoot": _secure_boot(spec),
            "enableVtpm": True,
            "enableIntegrityMonitoring": True,
        }
    if spec.accelerator is not None:
        accelerator_type = f"projects/{project}/zones/{zone}/acceleratorTypes/{spec.accelerator.type}"
        body["guestAccelerators"] = [
            {"acceleratorType": accelerator_type, "acceleratorCount": spec.accelerator.count}
        ]
    return body


def disk_type(spec: VmSpec) -> str:
    """The boot disk's type, by its bare name."""
    return spec.boot_disk_type or boot_disk_types(spec.machine_type)[0]


def _secure_boot(spec: VmSpec) -> bool:
    """Whether Secure Boot is on. The images' NVIDIA drivers are not known to be signed for it (docs/facts.md 1.2)."""
    return not spec.has_gpu if spec.secure_boot is None else spec.secure_boot


def _boot_disk(spec: VmSpec, *, zone: str, name: str, image: Image, labels: Mapping[str, str]) -> JsonObject:
    return {
        "boot": True,
        "autoDelete": True,
        "type": "PERSISTENT",
        "initializeParams": {
            # Its own name: with the default one an older disk of that name would be attached instead (docs/facts.md 1.2).
            "diskName": f"{name}-boot",
            "diskSizeGb": str(max(spec.boot_disk_gb, image.disk_gb)),
            "diskType": f"zones/{zone}/diskTypes/{disk_type(spec)}",
            "sourceImage": image.path,
            "labels": dict(labels),
        },
    }


def _network_interface(spec: VmSpec, *, project: str, zone: str) -> JsonObject:
    interface: JsonObject = {}
    if spec.network is not None or spec.subnetwork is None:
        network = spec.network or "default"
        interface["network"] = network if "/" in network else f"projects/{project}/global/networks/{network}"
    if spec.subnetwork is not None:
        region = region_of(zone)
        subnetwork = spec.subnetwork
        full = f"projects/{project}/regions/{region}/subnetworks/{subnetwork}"
        interface["subnetwork"] = subnetwork if "/" in subnetwork else full
    if spec.external_ip:
        interface["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return interface
