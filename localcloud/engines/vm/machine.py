"""A booted VM: real processes that start from an empty environment, in a folder of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from localcloud.engines import reaper
from localcloud.engines.supervisor import OwnedProcess
from localcloud.engines.vm import guest_agent
from localcloud.engines.vm.serial_port import SerialPort

if TYPE_CHECKING:
    from collections.abc import Mapping

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
# The longest folder for TMPDIRs, in bytes. The path of a Unix socket has at most 107, and multiprocessing's are
# TMPDIR/notebook-builder-12345678/tmp/pymp-12345678/listener-12345678.
MAX_PARENT = 30
# The longest wait of a power-off for the serial port's receiver, which may itself wait for the power-off.
LAST_WORDS = 0.2


@dataclass(frozen=True)
class MachineSpec:
    """The inputs of a VM's boot."""

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
    """Variables of every process, with the local cloud's addresses for clients that have no other setting."""


class MachineEvents(Protocol):
    """The callbacks of a VM, from its own threads: one call of a kind at a time. They may call `Machine.kill`."""

    def serial(self, data: bytes) -> None:
        """Bytes from serial port 1; a slow receiver does not delay the VM."""

    def guest_shutdown(self) -> None:
        """`shutdown` was called inside; nothing has been ended yet."""

    def ended(self) -> None:
        """The VM's supervisor ended without a power-off."""


class Running(Protocol):
    """A booted VM, as Compute Engine uses it."""

    def press_power_button(self) -> None:
        """Ask the system to shut down; returns at once."""

    def kill(self) -> None:
        """Cut the power; returns once its processes are gone."""


Boot = Callable[[MachineSpec, MachineEvents], Running]


class Machine:
    """A running VM; `boot` makes one."""

    def __init__(self, spec: MachineSpec, events: MachineEvents) -> None:
        """Not for callers: use `boot`."""
        self._spec = spec
        self._events = events
        self._off = False
        self._process: OwnedProcess | None = None
        self._scripts: Path | None = None
        self._temporary: Path | None = None
        self._threads: list[threading.Thread] = []
        self._power: int | None = _lay_out(spec)
        self._power_lock = threading.Lock()
        self._serial = SerialPort(events.serial, spec.directory / "run", spec.name)
        self._console = guest_agent.Console(self._serial.write, spec.name)

    @classmethod
    def boot(cls, spec: MachineSpec, events: MachineEvents) -> Self:
        """Start a VM and its startup script; returns once that runs.

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
        """Pids of all the VM's processes."""
        return self._process.descendants() if self._process else []

    def press_power_button(self) -> None:
        """Do nothing: a system's shutdown reaches no process of a startup script before the network ends."""

    def kill(self) -> None:
        """Power off: every process is gone when this returns. TimeoutError if one does not end.

        Pending bytes of the serial port are delivered if the receiver takes them at once; no event follows.
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
        self._temporary = _temporary_folder()
        pipe, output = os.pipe()
        try:
            self._process = OwnedProcess.start(
                [_shell(), "-c", shlex.quote(str(script))],
                env={**environment, "TMPDIR": str(self._temporary)},
                cwd=self._spec.directory,
                scratch=self._temporary,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                on_gone=self._gone,
            )
        except BaseException:
            os.close(pipe)
            shutil.rmtree(self._temporary, ignore_errors=True)
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
        """Act as the guest agent: relay, wait for the script, log its end. Its children live on."""
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
        """Find processes by their environment: a killed supervisor no longer owns them."""
        if not self._off and self._temporary:
            reaper.kill_all(reaper.with_variable(b"TMPDIR=" + os.fsencode(self._temporary)))
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._events.ended()


def _lay_out(spec: MachineSpec) -> int:
    """Make the folders, the shims and the power button of a VM; return the button's descriptor."""
    for folder in ("shims", "run"):
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


def _temporary_folder() -> Path:
    """Make the folder for the VM's TMPDIR. Its path is short, as on Google Cloud, even below a long state directory.

    A notebook's TMPDIR, HOME and current folder are below it, and programs make Unix sockets in each of them.
    """
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) <= MAX_PARENT else "/tmp"  # noqa: S108  mkdtemp makes it private
    return Path(tempfile.mkdtemp(prefix="vm-", dir=parent))


def _environment(spec: MachineSpec) -> dict[str, str]:
    """All variables of a VM's processes but TMPDIR. No HOME: the guest agent's unit has none either.

    Without one, Google's clients look for the user's credentials in the home folder of the user database, unless
    CLOUDSDK_CONFIG names another place.
    """
    from localcloud.engines.vm import images  # here: `python -m` must not find it imported by the package

    image = Path(spec.image) if spec.image.startswith("/") else images.prefix(spec.image)
    return {
        "PATH": f"{spec.directory / 'shims'}:{image / 'bin'}:{BASE_PATH}",
        "LANG": "C.UTF-8",
        "CLOUDSDK_CONFIG": str(spec.directory / "run" / "gcloud"),
        "GCE_METADATA_HOST": spec.metadata_address,
        "GCE_METADATA_IP": spec.metadata_address,
        "GCE_METADATA_ROOT": spec.metadata_address,
        **spec.variables,
    }


def _shell() -> str:
    """The agent passes the script's path to bash, which runs a script without a shebang and reports a bad one."""
    return shutil.which("bash", path=BASE_PATH) or "/bin/sh"
