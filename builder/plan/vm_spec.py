"""Names, labels and limits of a job's VM, and the body of its `instances.insert`. Pure; docs/facts.md 1.2 to 1.6."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from builder.model import JsonObject, region_of
from builder.options import MachineOptions
from builder.options.job_options import SERVER_ALLOWANCE, UPLOAD_ALLOWANCE
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
    """A job's time limits in seconds. `setup` and `requirements` are 0 without such a step."""

    boot: int
    notebook: int
    setup: int = 0
    requirements: int = 0

    @property
    def runner(self) -> int:
        """Seconds after which the VM's watchdog ends the runner."""
        return self.setup + self.requirements + self.notebook + UPLOAD_ALLOWANCE

    @property
    def vm(self) -> int:
        """Seconds after which Compute Engine deletes the VM (maxRunDuration)."""
        return self.boot + self.runner + SERVER_ALLOWANCE


@dataclass(frozen=True)
class Attempt:
    """One attempt at running a job on a VM. `random` is "" for attempts of earlier runs."""

    run: str
    job: str
    number: int
    nonce: str
    random: str = ""  # keeps the attempt's folder hidden from other VMs

    @property
    def folder(self) -> str:
        """The name of the attempt's folder below its job's, which only the builder and the attempt's VM know."""
        return f"attempt-{self.number}-{self.random}"

    @property
    def nonce_sha256(self) -> str:
        """The nonce's hash, for the heartbeat; only the evidence has the nonce itself."""
        return hashlib.sha256(self.nonce.encode()).hexdigest()

    def vm_name(self, try_number: int) -> str:
        """Return the VM's name, which is known before the insert, so that the VM can always be found and deleted."""
        digest = hashlib.sha256(f"{self.run}\0{self.job}\0{self.nonce}".encode()).hexdigest()[:12]
        return f"{NAME_PREFIX}{digest}-a{self.number}t{try_number}"

    def request_id(self, verb: str, zone: str, name: str) -> str:
        """Return the requestId of a call; a repeated call has the same one."""
        return str(uuid.uuid5(_REQUEST_IDS, f"{verb}/{zone}/{name}/{self.nonce}"))


def models_to_try(provisioning: str, attempt: int, max_attempts: int) -> tuple[str, ...]:
    """Return the provisioning models for an attempt (from 1). Each is tried in all allowed zones before the next."""
    if provisioning == "standard" or (provisioning != "spot" and attempt == max_attempts > 1):
        return (STANDARD,)
    return (SPOT,) if provisioning == "spot" else (SPOT, STANDARD)


def label_value(text: str) -> str:
    """Return the text as a label's value: at most 63 small letters, digits, `-` and `_`."""
    cleaned = "".join(
        char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in text.lower()
    )
    return cleaned[:63]


def vm_labels(attempt: Attempt, spec: MachineOptions, deadline: int) -> dict[str, str]:
    """Return the labels of VM and disk. After `deadline` (seconds since the epoch), the sweep may delete the VM."""
    return {
        **spec.labels,
        TOOL_LABEL: TOOL,
        RUN_LABEL: label_value(attempt.run),
        JOB_LABEL: label_value(attempt.job),
        NONCE_LABEL: attempt.nonce,
        DEADLINE_LABEL: str(deadline),
    }


def insert_body(
    spec: MachineOptions,
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
    """Return the body of `instances.insert`, in REST names. `model` is the provisioning model, STANDARD or SPOT."""
    body: JsonObject = {
        "name": name,
        "description": f"Runs a notebook for {TOOL}; deleted after {limits.vm} s at the latest.",
        "machineType": f"zones/{zone}/machineTypes/{spec.machine_type}",
        "labels": dict(labels),
        "disks": [_boot_disk(spec, zone=zone, name=name, image=image, labels=labels)],
        "networkInterfaces": [_network_interface(spec, project=project, zone=zone)],
        "serviceAccounts": [{"email": spec.vm_service_account, "scopes": [_CLOUD_PLATFORM]}],
        "scheduling": {
            "provisioningModel": model,
            "automaticRestart": False,
            "onHostMaintenance": "MIGRATE" if spec.migrates and model == STANDARD else "TERMINATE",
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


def _secure_boot(spec: MachineOptions) -> bool:
    """True if Secure Boot is on. NVIDIA drivers of the images may not be signed for it (docs/facts.md 1.2)."""
    return not spec.has_gpu if spec.secure_boot is None else spec.secure_boot


def _boot_disk(
    spec: MachineOptions, *, zone: str, name: str, image: Image, labels: Mapping[str, str]
) -> JsonObject:
    return {
        "boot": True,
        "autoDelete": True,
        "type": "PERSISTENT",
        "initializeParams": {
            # With the default name, Compute Engine would attach an older disk of that name (docs/facts.md 1.2).
            "diskName": f"{name}-boot",
            "diskSizeGb": str(max(spec.boot_disk_gb, image.disk_gb)),
            "diskType": f"zones/{zone}/diskTypes/{spec.disk_type}",
            "sourceImage": image.path,
            "labels": dict(labels),
        },
    }


def _network_interface(spec: MachineOptions, *, project: str, zone: str) -> JsonObject:
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
