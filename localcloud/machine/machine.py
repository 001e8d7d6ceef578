"""A booted VM: real processes that start from an empty environment, in a folder that is their whole writable world."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from localcloud.machine import guest_agent, reaper
from localcloud.machine.serial_port import SerialPort
from localcloud.machine.supervisor import OwnedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHIMS = Path(__file__).resolve().parent / "shims"
ALIASES = {"poweroff": "shutdown", "halt": "shutdown"}
BASE_PATH = "/usr/bin:/bin"
# Accelerator types as Compute names them: the name that the driver gives, and memory in MiB.
GPUS = {
    "nvidia-tesla-t4": ("Tesla T4", 15360),
    "nvidia-tesla-p4": ("Tesla P4", 7680),
    "nvidia-tesla-p100": ("Tesla P100-PCIE-16GB", 16384),
    "nvidia-tesla-v100": ("Tesla V100-SXM2-16GB", 16384),
    "nvidia-tesla-a100": ("NVIDIA A100-SXM4-40GB", 40960),
    "nvidia-a100-80gb": ("NVIDIA A100-SXM4-80GB", 81920),
    "nvidia-l4": ("NVIDIA L4", 23034),
    "nvidia-h100-80gb": ("NVIDIA H100 80GB HBM3", 81559),
}
DRIVER = "580.95.05"
# How long a power-off waits for the serial port to be read; a receiver may be busy, or waiting for whoever powers off.
LAST_WORDS = 0.2


@dataclass(frozen=True)
class MachineSpec:
    """What a VM is booted from."""

    name: str
    directory: Path
    """The VM's own; created when missing, never removed here."""
    image: str
    """A name that `images.prefix` knows, or the absolute path of a Python prefix."""
    startup_script: str | None
    metadata_address: str
    """host:port"""
    gpu: str | None = None
    """Accelerator type, or a name for nvidia-smi to show; None: the driver finds nothing."""
    gpu_count: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of every process, which lead a client to the local cloud that has no better way to be told."""


class MachineEvents(Protocol):
    """What a VM tells. Called from the VM's own threads, one call of a kind at a time; may call `Machine.kill`."""

    def serial(self, data: bytes) -> None:
        """Bytes that appeared on serial port 1; a slow receiver does not hold up the VM."""

    def guest_shutdown(self) -> None:
        """`shutdown` was called inside; nothing has been ended yet."""

    def ended(self) -> None:
        """The VM's supervisor is gone although nobody powered it off."""


class Machine:
    """A running VM; `boot` makes one."""

    def __init__(self, spec: MachineSpec, events: MachineEvents) -> None:
        """Not for callers: use `boot`."""
        self._spec = spec
        self._events = events
        self._off = False
        self._process: OwnedProcess | None = None
        self._scripts: Path | None = None
        self._threads: list[threading.Thread] = []
        self._power: int | None = _lay_out(spec)
        self._power_lock = threading.Lock()
        self._serial = SerialPort(events.serial, spec.directory / "run", spec.name)
        self._console = guest_agent.Console(self._serial.write, spec.name)

    @classmethod
    def boot(cls, spec: MachineSpec, events: MachineEvents) -> Self:
        """Start a VM and its startup script; returns when that runs.

        Raises `images.ImageError` when the image cannot be made, OSError when the folder cannot be written.
        """
        spec = replace(spec, directory=spec.directory.absolute())
        environment = _environment(spec)
        machine = cls(spec, events)
        try:
            machine._start(environment)
        except BaseException:
            machine.kill()
            raise
        return machine

    def processes(self) -> list[int]:
        """Pids of all that runs in the VM."""
        return self._process.descendants() if self._process else []

    def soft_off(self) -> None:
        """What a guest does when its power button is pressed: every process is told to end, and none is made to."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Power off: every process is gone when this returns. TimeoutError when the system does not let go of one.

        What was on its way to the serial port is delivered if the receiver takes it at once; no event comes afterwards.
        """
        self._off = True
        try:
            if self._process:
                self._process.kill()
        finally:
            with self._power_lock:
                if self._power is not None:
                    os.write(self._power, b"\n")  # wakes its thread up
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(LAST_WORDS)
            self._serial.close(LAST_WORDS)

    def _start(self, environment: dict[str, str]) -> None:
        self._run_in_thread(self._watch_power, "power")
        if not self._spec.startup_script:
            self._console.log(guest_agent.STARTING, guest_agent.NOTHING_TO_RUN)
            return
        self._scripts = Path(tempfile.mkdtemp(prefix="metadata-scripts", dir=self._spec.directory / "run"))
        script = self._scripts / "startup-script"
        script.write_bytes(self._spec.startup_script.lstrip(" \n\v\f\t\r").encode())
        script.chmod(0o755)
        pipe, output = os.pipe()
        try:
            self._process = OwnedProcess.start(
                [_shell(), "-c", shlex.quote(str(script))],
                env=environment,
                cwd=self._spec.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                on_gone=self._gone,
            )
        except BaseException:
            os.close(pipe)
            raise
        finally:
            os.close(output)
        self._console.pid = self._process.pid
        self._console.log(guest_agent.STARTING, guest_agent.FOUND)
        self._run_in_thread(lambda: self._attend(pipe), "agent")

    def _run_in_thread(self, target: Callable[[], None], role: str) -> None:
        thread = threading.Thread(target=target, name=f"{role}-{self._spec.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _attend(self, pipe: int) -> None:
        """Be the guest agent: relay, wait for the script, say how it ended. Its children live on."""
        guest_agent.relay(pipe, self._console)
        if self._process and self._scripts:
            code = self._process.wait()
            if not self._off:
                self._console.log(*guest_agent.closing_lines(code))
            shutil.rmtree(self._scripts, ignore_errors=True)

    def _watch_power(self) -> None:
        """Wait until the shutdown shim presses the button, or until we are off."""
        button = self._power
        while button is not None and os.read(button, 64) and not self._off:
            self._events.guest_shutdown()
        with self._power_lock:
            self._power = None
            if button is not None:
                os.close(button)

    def _gone(self) -> None:
        """Somebody may have killed the supervisor: what it owned is nobody's now, so look for it by its environment."""
        if not self._off:
            reaper.kill_all(reaper.with_variable(b"TMPDIR=" + os.fsencode(self._spec.directory / "tmp")))
            self._events.ended()


def _lay_out(spec: MachineSpec) -> int:
    """Make the folders, the shims and the power button of a VM; the button's descriptor."""
    for folder in ("shims", "run", "tmp"):
        (spec.directory / folder).mkdir(parents=True, exist_ok=True)
    for shim in [path.name for path in SHIMS.iterdir()] + list(ALIASES):
        shutil.copy(SHIMS / ALIASES.get(shim, shim), spec.directory / "shims" / shim)
    if spec.gpu:
        name, memory = GPUS.get(spec.gpu, (spec.gpu, 16384))
        lines = [f"{name}|GPU-{uuid.uuid4()}|{memory}|{DRIVER}\n" for _ in range(spec.gpu_count)]
        (spec.directory / "run" / "gpus").write_text("".join(lines))
    button = spec.directory / "run" / "power"
    button.unlink(missing_ok=True)
    os.mkfifo(button)
    return os.open(button, os.O_RDWR)  # for both, so that neither side ever waits for the other


def _environment(spec: MachineSpec) -> dict[str, str]:
    """All variables of a VM's processes. No HOME: the guest agent's unit has none either."""
    from localcloud.machine import images  # here: `python -m` must not find it imported by the package

    image = Path(spec.image) if spec.image.startswith("/") else images.prefix(spec.image)
    return {
        "PATH": f"{spec.directory / 'shims'}:{image / 'bin'}:{BASE_PATH}",
        "TMPDIR": str(spec.directory / "tmp"),
        "LANG": "C.UTF-8",
        "GCE_METADATA_HOST": spec.metadata_address,
        "GCE_METADATA_IP": spec.metadata_address,
        "GCE_METADATA_ROOT": spec.metadata_address,
        **spec.variables,
    }


def _shell() -> str:
    """The agent hands the script's path to bash, which runs one without a shebang itself and says what is wrong with a bad one."""
    return shutil.which("bash", path=BASE_PATH) or "/bin/sh"
