"""Turning instances on and off: the machine that runs an instance's guest, and its metadata server."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.compute.links import link
from localcloud.machine.machine import MachineSpec
from localcloud.metadata import Identity, MetadataServer

if TYPE_CHECKING:
    from localcloud.compute.state import Running, State, Vm
    from localcloud.iam import Iam
    from localcloud.machine.machine import MachineEvents

Json = dict[str, Any]
Boot = Callable[["MachineSpec", "MachineEvents"], "Running"]

_LOG = logging.getLogger(__name__)
_SCRIPT_KEY = "startup-script"
# Seconds of real time.
_PATIENCE = 2.0


class Power:
    """Boots and kills machines, always outside the state's lock; directories live below `root`."""

    def __init__(self, state: State, iam: Iam, boot: Boot, root: Path) -> None:
        self._state = state
        self._iam = iam
        self._boot = boot
        self._root = root

    def forget_earlier(self) -> None:
        """Remove what instances of an earlier service left: they are gone, as after a host failure."""
        shutil.rmtree(self._root, ignore_errors=True)

    def on(self, vm: Vm, events: MachineEvents, script: str | None) -> None:
        """Boot the instance's machine with a startup script; returns at once, the boot goes on in a thread."""
        thread = threading.Thread(
            target=self._start, args=(vm, events, script), name=f"boot {vm.wanted.name}", daemon=True
        )
        with self._state.changed:
            vm.starting = thread
        thread.start()

    def off(self, vm: Vm, then: Callable[[], None]) -> None:
        """Power off, then call `then`; in a thread of its own when the machine is long in booting.

        (A first boot may have to build its machine image. The clock, whose thread this is, must not wait for that; but
        in all other cases what was due is done when `advance` returns.)
        """
        with self._state.changed:
            thread = vm.starting
        if thread is not None:
            thread.join(_PATIENCE)
        if thread is not None and thread.is_alive():
            threading.Thread(
                target=self._off, args=(vm, then), name=f"off {vm.wanted.name}", daemon=True
            ).start()
        else:
            self._off(vm, then)

    def soft_off(self, vm: Vm) -> None:
        """Press the power button: the guest may save what it has until it is switched off. The caller holds the lock."""
        if vm.machine is not None:
            vm.machine.soft_off()

    def remove(self, vm: Vm) -> None:
        """Remove the directory of an instance that is off."""
        shutil.rmtree(self._directory(vm), ignore_errors=True)

    def script(self, vm: Vm) -> str | None:
        """Return the startup script that the instance's metadata hold."""
        with self._state.changed:
            return vm.metadata.get(_SCRIPT_KEY)

    def _off(self, vm: Vm, then: Callable[[], None] | None = None) -> None:
        with self._state.changed:
            thread = vm.starting
        if thread is not None:
            thread.join()
        with self._state.changed:
            machine, server = vm.machine, vm.metadata_server
            vm.machine = vm.metadata_server = vm.starting = None
        if machine is not None:
            machine.kill()
        if server is not None:
            server.close()
        if then is not None:
            then()

    def kill(self, vm: Vm) -> None:
        """Power off and return when that is done."""
        self._off(vm)

    def _start(self, vm: Vm, events: MachineEvents, script: str | None) -> None:
        try:
            self._start_machine(vm, events, script)
        except Exception as error:  # noqa: BLE001  the instance stays RUNNING and silent, as one with a broken guest
            _LOG.exception("machine of instance %s did not boot", vm.wanted.name)
            events.serial(f"localcloud: the machine did not boot: {error}\r\n".encode())

    def _start_machine(self, vm: Vm, events: MachineEvents, script: str | None) -> None:
        with self._state.changed:
            if vm.status != "RUNNING":
                return
        server = MetadataServer(lambda: self._identity(vm), self._iam)
        with self._state.changed:
            vm.metadata_server = server
        server.start()
        directory = self._directory(vm)
        directory.mkdir(parents=True, exist_ok=True)
        image, gpus = vm.wanted.boot_disk.image, vm.wanted.gpus
        count = gpus.count if gpus is not None else 0
        visible = count if vm.visible_gpus is None else min(count, vm.visible_gpus)
        spec = MachineSpec(
            name=vm.wanted.name,
            directory=directory,
            image=image.boots if image is not None else "bare",
            startup_script=script,
            metadata_address=server.address,
            gpu=gpus.model if gpus is not None and visible else None,
            gpu_count=visible,
        )
        machine = self._boot(spec, events)
        with self._state.changed:
            vm.machine = machine

    def _directory(self, vm: Vm) -> Path:
        return self._root / f"{vm.wanted.name}-{vm.id[-6:]}"

    def _identity(self, vm: Vm) -> Identity:
        wanted = vm.wanted
        with self._state.changed:
            instance = {
                "id": vm.id,
                "name": wanted.name,
                "zone": link(f"projects/{wanted.project}/zones/{wanted.zone}"),
                "machineType": wanted.machine.name,
                "hostname": hostname(vm),
                "preempted": "TRUE" if vm.preempted else "FALSE",
            }
            attributes = dict(vm.metadata)
        return Identity(wanted.project, wanted.account, wanted.scopes, instance, attributes)


def hostname(vm: Vm) -> str:
    """Return an instance's internal DNS name."""
    return f"{vm.wanted.name}.{vm.wanted.zone}.c.{vm.wanted.project}.internal"


def boot_lines(vm: Vm) -> bytes:
    """Return what firmware and kernel say before the guest's own programs do."""
    cpus, memory = vm.wanted.machine.cpus, vm.wanted.machine.memory_mb
    lines = (
        "UEFI: Attempting to start image.",
        "Description: ubuntu",
        "[    0.000000] Linux version 6.8.0-1021-gcp (local) #23-Ubuntu SMP",
        "[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=PARTUUID=local ro console=ttyS0,115200",
        f"[    0.014201] Memory: {memory * 1000}K/{memory * 1024}K available",
        f"[    0.102334] smp: Brought up 1 node, {cpus} CPUs",
        "[    1.882901] systemd[1]: Detected virtualization google.",
        f"[    1.884410] systemd[1]: Hostname set to <{vm.wanted.name}>.",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()
