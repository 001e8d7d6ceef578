"""What exists: instances and disks, and the one lock that guards them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from localcloud.compute.serial import SerialPort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.clock import Timer
    from localcloud.compute.operations import Operation
    from localcloud.compute.wanted import Schedule, Wanted

Json = dict[str, Any]


class Running(Protocol):
    """A booted machine, as far as this service needs one."""

    def soft_off(self) -> None:
        """Press its power button; what happens then is the guest's affair."""
        ...

    def kill(self) -> None:
        """Power it off: every process of it is gone when this returns."""
        ...


class Closable(Protocol):
    """A server that is ours to end."""

    def close(self) -> None:
        """End it."""
        ...


@dataclass
class Watch:
    """Calls `found`, once, when `text` has gone over the serial port (also in pieces)."""

    text: bytes
    found: Callable[[], None]
    tail: bytes = b""

    def saw(self, data: bytes) -> bool:
        """Take in more output; True when the text is there."""
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
    """An instance. `boot` counts its boots, so that what belongs to an earlier one can be told apart."""

    wanted: Wanted
    id: str
    created: float
    address: str
    labels: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: tuple[str, ...]
    status: str = "PROVISIONING"
    status_message: str | None = None
    # It will never run: its insert is bound to fail. Counts against no quota.
    doomed: bool = False
    boot: int = 0
    started: float | None = None
    stopped: float | None = None
    deadline: float | None = None
    preempted: bool = False
    # How many of its GPUs the guest's driver sees; None: all.
    visible_gpus: int | None = None
    serial: SerialPort = field(default_factory=SerialPort)
    timers: list[Timer] = field(default_factory=list)
    # Operations that are done when it has come to rest, one way or another.
    pending: list[Operation] = field(default_factory=list)
    deleting: bool = False
    # What a fault plan waits for on the serial port, and what to do then.
    watch: Watch | None = None
    machine: Running | None = None
    metadata_server: Closable | None = None
    starting: threading.Thread | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Zone and name: what is unique."""
        return self.wanted.zone, self.wanted.name

    @property
    def schedule(self) -> Schedule:
        """Its scheduling."""
        return self.wanted.schedule

    def cancel_timers(self) -> None:
        """Forget what was to happen to it."""
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

    def disk(self, zone: str, name: str) -> Disk | None:
        """Return a disk by its name or its id."""
        named = self.disks.get((zone, name))
        return named or next((d for d in self.disks.values() if d.zone == zone and d.id == name), None)

    def new_address(self) -> str:
        """Return an internal address that no instance has had before (until 65,000 have)."""
        self._addresses = self._addresses % 65000 + 1
        return f"10.128.{self._addresses // 250}.{self._addresses % 250 + 2}"

    def disks_of(self, vm: Vm) -> Iterator[tuple[Disk, bool]]:
        """Yield the disks attached to an instance, each with whether it goes when the instance goes."""
        for wanted in vm.wanted.disks:
            disk = self.disks.get((vm.wanted.zone, wanted.name))
            if disk is not None and disk.user == vm.wanted.path:
                yield disk, wanted.auto_delete

    def remove(self, vm: Vm) -> None:
        """Take an instance away, with the disks that go with it; the others are detached."""
        for disk, goes in list(self.disks_of(vm)):
            disk.user = None
            if goes:
                del self.disks[disk.zone, disk.name]
        if self.vms.get(vm.key) is vm:
            del self.vms[vm.key]
        self.changed.notify_all()
