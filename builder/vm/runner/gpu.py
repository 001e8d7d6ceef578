"""Is the GPU there that was asked for? A driver may need a minute after the boot."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from .settings import Accelerator, Fault
from .text import clean

PAUSE_SECONDS = 3.0
CALL_SECONDS = 60.0


def wait_for_gpu(accelerator: Accelerator, deadline: float, note: Callable[[str], None]) -> None:
    """Return once `nvidia-smi` lists a GPU; raises `Fault` at `deadline` (monotonic seconds) with its last words."""
    while True:
        said = _ask()
        if said.startswith("GPU "):
            note(said.splitlines()[0])
            return
        if time.monotonic() + PAUSE_SECONDS > deadline:
            wanted = f"{accelerator.type} x {accelerator.count}"
            message = (
                f"{wanted} was asked for, but nvidia-smi says: {clean(said.splitlines()[-1] if said else '')}"
            )
            raise Fault("gpu_not_visible", message)
        time.sleep(PAUSE_SECONDS)


def _ask() -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()
