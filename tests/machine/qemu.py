"""A VM in QEMU, in the place of localcloud's process tree: a real kernel, systemd, and Google's own guest agent.

It is no engine of localcloud, because no user has a reason to boot one: software emulation takes a minute to the
startup script, and Google's Deep Learning VM images cannot be had outside Google Cloud.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.engines.supervisor import OwnedProcess
from localcloud.engines.vm import MachineEvents, MachineSpec
from tests.machine.system import System

METADATA = "169.254.169.254:80"
MEMORY = "1G"
# Two services that only take time are left out.
KERNEL_OPTIONS = (
    *(
        "root=/dev/vda",
        "ro",
        "console=ttyS0",
        "quiet",
        "net.ifnames=0",
        "systemd.journald.forward_to_console=1",
    ),
    *("systemd.mask=ifupdown-pre.service", "systemd.mask=e2scrub_reap.service"),
)


@dataclass
class Qemu:
    """Boots a system as the VMs of one local cloud.

    `addresses` are those that the VMs reach, each as 127.0.0.1:PORT.
    """

    system: System
    addresses: Sequence[str] = ()
    serial: bytearray = field(default_factory=bytearray)
    """What the VMs have written to their serial ports."""

    def boot(self, spec: MachineSpec, events: MachineEvents) -> QemuMachine:
        """Start a VM; returns at once. It takes its startup script from the metadata server, not from `spec`."""
        reached = {METADATA: spec.metadata_address, **{address: address for address in self.addresses}}
        routes = {inside: outside.rpartition(":")[2] for inside, outside in reached.items()}
        return QemuMachine(spec, events, _command(self.system, spec.directory, routes), self.serial)


class QemuMachine:
    """A running VM."""

    def __init__(self, spec: MachineSpec, events: MachineEvents, command: list[str], log: bytearray) -> None:
        """Not for callers: use `Qemu.boot`."""
        self._directory = spec.directory
        self._events = events
        self._log = log
        self._off = False
        pipe, output = os.pipe()
        self._process = OwnedProcess.start(
            command,
            env={"PATH": os.defpath},
            cwd=spec.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        os.close(output)
        self._thread = threading.Thread(
            target=self._relay, args=(pipe,), name=f"qemu-{spec.name}", daemon=True
        )
        self._thread.start()

    def press_power_button(self) -> None:
        """Ask the system to shut down, by ACPI, as Compute Engine does before it ends a VM."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(5)  # the caller is localcloud's clock
            monitor.connect(str(self._directory / "monitor"))
            lines = monitor.makefile("rw")
            for command in ("qmp_capabilities", "system_powerdown"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                while "return" not in json.loads(lines.readline() or '{"return": {}}'):
                    pass

    def kill(self) -> None:
        """Cut the power."""
        self._off = True
        self._process.kill()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _relay(self, pipe: int) -> None:
        """Pass the serial port on. QEMU ends with 0 once the system has shut itself down."""
        with open(pipe, "rb", buffering=0) as serial:
            while data := serial.read(65536):
                self._log.extend(data)
                self._events.serial(data)
        code = self._process.wait()
        if self._off:
            return
        if code == 0:
            self._events.guest_shutdown()
        else:
            self._events.ended()


def _command(system: System, directory: Path, routes: Mapping[str, str]) -> list[str]:
    """Return QEMU's command line: software emulation, since KVM is not on every machine, and a disk that forgets."""
    pairs = ",".join(f"{inside}={outside}" for inside, outside in routes.items())
    return [
        *(
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max,svm=off",
            "-smp",
            "2",
            "-m",
            MEMORY,
        ),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-qmp", f"unix:{directory / 'monitor'},server=on,wait=off"),
        *("-smbios", "type=1,manufacturer=Google,product=Google Compute Engine"),
        *("-kernel", str(system.kernel), "-initrd", str(system.initrd)),
        *("-append", " ".join([*KERNEL_OPTIONS, f"localcloud.routes={pairs}"])),
        *("-drive", f"file={system.disk},format=raw,if=virtio,snapshot=on"),
        *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"),
        *("-device", "virtio-rng-pci"),
    ]
