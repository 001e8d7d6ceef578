"""Turns instances on and off: the machine of an instance, and its metadata server."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.core.metadata import Identity, MetadataServer
from localcloud.engines.vm.machine import MachineSpec
from localcloud.services.compute.catalog import region_of
from localcloud.services.compute.links import link

if TYPE_CHECKING:
    from localcloud.core.iam import Iam
    from localcloud.engines.vm.machine import Boot, MachineEvents
    from localcloud.services.compute.state import State, Vm
    from localcloud.services.compute.state_networks import Networks

Json = dict[str, Any]

_LOG = logging.getLogger(__name__)
# A VM that reaches only Google finds no way to other addresses: its programs ask a proxy at a closed port. 127.0.0.1 is
# Google's side, with localcloud; "localhost" and all other names are the internet.
_NO_INTERNET = {
    **dict.fromkeys(
        ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
        "http://127.0.0.1:9",
    ),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
}
# Seconds of real time.
_PATIENCE = 2.0


class Power:
    """Boots and kills machines, always outside the state's lock; directories live below `root`."""

    def __init__(self, state: State, iam: Iam, boot: Boot, root: Path, networks: Networks) -> None:
        self._networks = networks
        self._state = state
        self._iam = iam
        self._boot = boot
        self._root = root
        self._closed = False

    def forget_earlier(self) -> None:
        """Remove the files of an earlier localcloud's instances, which are gone, as after a host failure."""
        shutil.rmtree(self._root, ignore_errors=True)

    def on(self, vm: Vm, events: MachineEvents, script: str | None) -> None:
        """Boot the instance's machine with a startup script, in a thread; returns at once."""
        thread = threading.Thread(
            target=self._start, args=(vm, events, script), name=f"boot {vm.wanted.name}", daemon=True
        )
        with self._state.changed:
            if not self._closed:
                vm.starting = thread
                thread.start()

    def press_button(self, vm: Vm) -> None:
        """Ask the instance's system to shut down, if it runs."""
        with self._state.changed:
            machine = vm.machine
        if machine is not None:
            machine.press_power_button()

    def off(self, vm: Vm, then: Callable[[], None]) -> None:
        """Power off, then call `then`; in a thread of its own if the machine is still booting.

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

    def remove(self, vm: Vm) -> None:
        """Remove the directory of a stopped instance."""
        shutil.rmtree(self._directory(vm), ignore_errors=True)

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

    def close(self) -> None:
        """Power off every instance, and boot no other; returns once their processes are gone."""
        with self._state.changed:
            self._closed = True
            vms = list(self._state.vms.values())
            for vm in vms:
                vm.cancel_timers()
                vm.status = "STOPPING"
        for vm in vms:
            self._off(vm)

    def _start(self, vm: Vm, events: MachineEvents, script: str | None) -> None:
        try:
            self._start_machine(vm, events, script)
        except Exception as error:  # noqa: BLE001  the instance stays RUNNING and silent, as one with a broken system
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
            variables={} if self._reaches_internet(vm) else _NO_INTERNET,
        )
        machine = self._boot(spec, events)
        with self._state.changed:
            vm.machine = machine

    def _reaches_internet(self, vm: Vm) -> bool:
        region = region_of(vm.wanted.zone)
        return self._networks.reaches_internet(region, vm.wanted.interface)

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
        return Identity(wanted.project, wanted.account, wanted.scopes, instance, wanted.metadata, wanted.path)


def hostname(vm: Vm) -> str:
    """Return an instance's internal DNS name."""
    return f"{vm.wanted.name}.{vm.wanted.zone}.c.{vm.wanted.project}.internal"


def boot_lines(vm: Vm) -> bytes:
    """Return the output of firmware and kernel at a boot."""
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
