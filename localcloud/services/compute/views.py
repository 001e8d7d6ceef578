"""Instances as Google prints them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from localcloud.services.compute import catalog
from localcloud.services.compute.links import link

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.services.compute.state import Vm

Json = dict[str, Any]
_FEATURES = ("VIRTIO_SCSI_MULTIQUEUE", "UEFI_COMPATIBLE", "GVNIC")
GUEST_FEATURES = [{"type": feature} for feature in _FEATURES]
_CPU_PLATFORMS = {
    "e2": "Intel Broadwell",
    "n1": "Intel Skylake",
    "g2": "Intel Cascade Lake",
    "a2": "Intel Cascade Lake",
    "c3": "Intel Sapphire Rapids",
    "n4": "Intel Emerald Rapids",
    "n4d": "AMD Turin",
}
_CPU_UNKNOWN = "Unknown CPU Platform"


def fingerprint(value: object) -> str:
    """Return the fingerprint of a value: equal for equal values."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def metadata_view(metadata: Mapping[str, str]) -> Json:
    """Return metadata with its fingerprint."""
    printed: Json = {"kind": "compute#metadata", "fingerprint": fingerprint(dict(metadata))}
    if metadata:
        printed["items"] = [{"key": key, "value": value} for key, value in metadata.items()]
    return printed


def instance_view(vm: Vm, clock: Clock) -> Json:
    """Return an instance."""
    wanted = vm.wanted
    zone = f"projects/{wanted.project}/zones/{wanted.zone}"
    running = vm.status in {"RUNNING", "STOPPING"}
    printed: Json = {
        "kind": "compute#instance",
        "id": vm.id,
        "name": wanted.name,
        "description": wanted.description,
        "creationTimestamp": clock.timestamp(vm.created),
        "selfLink": link(wanted.path),
        "zone": link(zone),
        "status": vm.status,
        "machineType": link(f"{zone}/machineTypes/{wanted.machine.name}"),
        "cpuPlatform": _CPU_PLATFORMS[wanted.machine.family] if running else _CPU_UNKNOWN,
        "canIpForward": False,
        "deletionProtection": False,
        "startRestricted": False,
        "fingerprint": fingerprint([vm.id, vm.status, dict(wanted.labels), dict(wanted.metadata)]),
        "labelFingerprint": fingerprint(dict(wanted.labels)),
        "metadata": metadata_view(wanted.metadata),
        "disks": [_attached_disk_view(vm, number) for number in range(len(wanted.disks))],
        "networkInterfaces": [_interface_view(vm)],
        "scheduling": vm.schedule.view(),
        "shieldedInstanceConfig": dict(wanted.shielded),
        "shieldedInstanceIntegrityPolicy": {"updateAutoLearnPolicy": True},
        "resourceStatus": {"scheduling": _deadline_view(vm, clock)},
    }
    return printed | _optional(vm, clock)


def _deadline_view(vm: Vm, clock: Clock) -> Json:
    return {} if vm.deadline is None else {"terminationTimestamp": clock.timestamp(vm.deadline)}


def _optional(vm: Vm, clock: Clock) -> Json:
    wanted = vm.wanted
    printed: Json = {}
    if wanted.labels:
        printed["labels"] = dict(wanted.labels)
    if wanted.account is not None:
        printed["serviceAccounts"] = [{"email": wanted.account, "scopes": list(wanted.scopes)}]
    if wanted.gpus is not None:
        kind = link(f"projects/{wanted.project}/zones/{wanted.zone}/acceleratorTypes/{wanted.gpus.model}")
        printed["guestAccelerators"] = [{"acceleratorType": kind, "acceleratorCount": wanted.gpus.count}]
    if vm.status_message is not None:
        printed["statusMessage"] = vm.status_message
    if vm.started is not None:
        printed["lastStartTimestamp"] = clock.timestamp(vm.started)
    if vm.stopped is not None:
        printed["lastStopTimestamp"] = clock.timestamp(vm.stopped)
    return printed


def _attached_disk_view(vm: Vm, number: int) -> Json:
    wanted = vm.wanted.disks[number]
    printed: Json = {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": wanted.mode,
        "source": link(f"projects/{vm.wanted.project}/zones/{vm.wanted.zone}/disks/{wanted.name}"),
        "deviceName": wanted.device_name,
        "index": number,
        "boot": wanted.boot,
        "autoDelete": wanted.auto_delete,
        "interface": "SCSI",
        "diskSizeGb": str(wanted.size_gb),
    }
    if wanted.boot:
        printed |= {"guestOsFeatures": GUEST_FEATURES, "architecture": "X86_64"}
    return printed


def _interface_view(vm: Vm) -> Json:
    wanted, interface = vm.wanted, vm.wanted.interface
    region = catalog.region_of(wanted.zone)
    subnetwork = (
        f"projects/{interface.subnetwork_project}/regions/{region}/subnetworks/{interface.subnetwork}"
    )
    printed: Json = {
        "kind": "compute#networkInterface",
        "name": "nic0",
        "network": link(f"projects/{wanted.project}/global/networks/{interface.network}"),
        "subnetwork": link(subnetwork),
        "networkIP": vm.address,
        "stackType": "IPV4_ONLY",
        "fingerprint": fingerprint([vm.id, vm.address]),
    }
    if interface.external_ip:
        access: Json = {"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "name": "External NAT"}
        access["networkTier"] = "PREMIUM"
        if vm.status in {"RUNNING", "STOPPING"}:
            # An address of the range for documentation, which nothing uses.
            access["natIP"] = f"203.0.113.{int(vm.id) % 254 + 1}"
        printed["accessConfigs"] = [access]
    return printed
