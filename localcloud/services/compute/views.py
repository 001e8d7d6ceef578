"""Instances as Google prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.services.compute import catalog
from localcloud.services.compute.links import link

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.services.compute.state import Vm

Json = dict[str, Any]


def instance_view(vm: Vm, clock: Clock) -> Json:
    """Return an instance."""
    wanted = vm.wanted
    zone = f"projects/{wanted.project}/zones/{wanted.zone}"
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
        "metadata": {"items": [{"key": key, "value": value} for key, value in wanted.metadata.items()]},
        "disks": [_attached_disk_view(vm, number) for number in range(len(wanted.disks))],
        "networkInterfaces": [_interface_view(vm)],
        "scheduling": vm.schedule.view(),
        "shieldedInstanceConfig": dict(wanted.shielded),
        "resourceStatus": {"scheduling": _deadline_view(vm, clock)},
    }
    return printed | _optional(vm)


def _deadline_view(vm: Vm, clock: Clock) -> Json:
    return {} if vm.deadline is None else {"terminationTimestamp": clock.timestamp(vm.deadline)}


def _optional(vm: Vm) -> Json:
    wanted = vm.wanted
    printed: Json = {}
    if wanted.labels:
        printed["labels"] = dict(wanted.labels)
    if wanted.account is not None:
        printed["serviceAccounts"] = [{"email": wanted.account, "scopes": list(wanted.scopes)}]
    if wanted.gpus is not None:
        kind = link(f"projects/{wanted.project}/zones/{wanted.zone}/acceleratorTypes/{wanted.gpus.model}")
        printed["guestAccelerators"] = [{"acceleratorType": kind, "acceleratorCount": wanted.gpus.count}]
    return printed


def _attached_disk_view(vm: Vm, number: int) -> Json:
    wanted = vm.wanted.disks[number]
    return {
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
    }
    if interface.external_ip:
        printed["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return printed
