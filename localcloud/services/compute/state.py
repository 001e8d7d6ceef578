"""The instances and disks of the project, and the one lock that guards them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.services.compute.state_serial import SerialPort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.core.clock import Timer
    from localcloud.core.metadata import MetadataServer
    from localcloud.engines.vm.machine import Running
    from localcloud.services.compute.state_operations import Operation
    from localcloud.services.compute.wanted import Schedule, Wanted

Json = dict[str, Any]


@dataclass
class Watch:
    """Calls `found` once `text` has appeared on the serial port (also in pieces)."""

    text: bytes
    found: Callable[[], None]
    tail: bytes = b""

    def saw(self, data: bytes) -> bool:
        """Add output; True once the text has appeared."""
        seen = self.tail + data
        self.tail = seen[-len(self.text) :]
        return self.text in seen


@dataclass(eq=False)
class Disk:
    """A persistent disk. `user` is the resource path of the instance that it is attached to."""

    project: str
    zone: str
    name: str
    id: str
    size_gb: int
    type: str
    created: float
    labels: Mapping[str, str]
    image: str | None = None
    status: str = "CREATING"
    user: str | None = None

    @property
    def path(self) -> str:
        """Its resource path."""
        return f"projects/{self.project}/zones/{self.zone}/disks/{self.name}"


@dataclass(eq=False)
class Vm:
    """An instance. `boot` counts its boots, so that events of an earlier one can be ignored."""

    wanted: Wanted
    id: str
    created: float
    address: str
    status: str = "PROVISIONING"
    # It will never run, because its insert fails. Counts against no quota.
    doomed: bool = False
    # The metric of the quota that its GPUs count under, chosen at its insert.
    gpu_metric: str = ""
    boot: int = 0
    deadline: float | None = None
    preempted: bool = False
    # Its network is down: the last moments of a shutdown or a preemption.
    cut_off: bool = False
    # The number of GPUs that its driver sees; None: all.
    visible_gpus: int | None = None
    serial: SerialPort = field(default_factory=SerialPort)
    timers: list[Timer] = field(default_factory=list)
    # Operations that are done once it has stopped or is deleted.
    pending: list[Operation] = field(default_factory=list)
    deleting: bool = False
    # The text that a fault plan waits for on the serial port, and its action.
    watch: Watch | None = None
    machine: Running | None = None
    metadata_server: MetadataServer | None = None
    starting: threading.Thread | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Zone and name, which are unique."""
        return self.wanted.zone, self.wanted.name

    @property
    def schedule(self) -> Schedule:
        """Its scheduling."""
        return self.wanted.schedule

    def cancel_timers(self) -> None:
        """Cancel its timers."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class State:
    """Instances and disks of one project. Read and change it only while holding `changed`."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.vms: dict[tuple[str, str], Vm] = {}
        self.disks: dict[tuple[str, str], Disk] = {}
        self._addresses = 1

    def vm(self, zone: str, name: str) -> Vm | None:
        """Return an instance by its name or its id."""
        named = self.vms.get((zone, name))
        return named or next((v for v in self.vms.values() if v.wanted.zone == zone and v.id == name), None)

    def new_address(self) -> str:
        """Return an internal address that no instance has had before (until 65,000 have)."""
        self._addresses = self._addresses % 65000 + 1
        return f"10.128.{self._addresses // 250}.{self._addresses % 250 + 2}"

    def disks_of(self, vm: Vm) -> Iterator[tuple[Disk, bool]]:
        """Yield the disks attached to an instance, each with True if it is deleted with the instance."""
        for wanted in vm.wanted.disks:
            disk = self.disks.get((vm.wanted.zone, wanted.name))
            if disk is not None and disk.user == vm.wanted.path:
                yield disk, wanted.auto_delete

    def remove(self, vm: Vm) -> None:
        """Remove an instance, with its auto-delete disks; detach the others."""
        for disk, goes in list(self.disks_of(vm)):
            disk.user = None
            if goes:
                del self.disks[disk.zone, disk.name]
        if self.vms.get(vm.key) is vm:
            del self.vms[vm.key]
        self.changed.notify_all()
