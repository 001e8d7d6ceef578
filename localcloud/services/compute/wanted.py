"""The instance that an `instances.insert` asks for: plain values after all rules, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.services.compute.catalog import MachineType
from localcloud.services.compute.images import Image

Json = dict[str, Any]


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a VM; `attached` is true for those of an N1, which are not built in."""

    model: str
    count: int
    metric: str
    attached: bool


@dataclass(frozen=True)
class WantedDisk:
    """One disk, which the insert creates."""

    name: str
    device_name: str
    size_gb: int
    type: str
    labels: Mapping[str, str]
    image: Image | None
    boot: bool
    auto_delete: bool
    mode: str


@dataclass(frozen=True)
class Schedule:
    """The limits of a VM's life. `max_run` is in seconds; None is no limit."""

    spot: bool
    automatic_restart: bool
    on_host_maintenance: str
    action: str | None
    max_run: int | None

    @property
    def deletes(self) -> bool:
        """True if preemption and time limit delete the VM (instead of stopping it)."""
        return self.action == "DELETE"

    def view(self) -> Json:
        """Return Google's `Instance.scheduling`."""
        printed: Json = {
            "onHostMaintenance": self.on_host_maintenance,
            "automaticRestart": self.automatic_restart,
            "provisioningModel": "SPOT" if self.spot else "STANDARD",
        }
        if self.action is not None:
            printed["instanceTerminationAction"] = self.action
        if self.max_run is not None:
            printed["maxRunDuration"] = {"seconds": str(self.max_run)}
        return printed


@dataclass(frozen=True)
class Interface:
    """The one network interface."""

    network: str
    subnetwork_project: str
    subnetwork: str
    external_ip: bool


@dataclass(frozen=True)
class Wanted:
    """A valid request for an instance."""

    project: str
    zone: str
    name: str
    description: str
    machine: MachineType
    disks: tuple[WantedDisk, ...]
    gpus: Gpus | None
    schedule: Schedule
    interface: Interface
    account: str | None
    scopes: tuple[str, ...]
    labels: Mapping[str, str]
    metadata: Mapping[str, str]
    shielded: Mapping[str, bool]

    @property
    def boot_disk(self) -> WantedDisk:
        """The disk that it starts from."""
        return self.disks[0]

    @property
    def path(self) -> str:
        """Its resource path."""
        return f"projects/{self.project}/zones/{self.zone}/instances/{self.name}"
