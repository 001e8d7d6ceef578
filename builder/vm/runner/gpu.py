"""Waits for the GPUs that the job asks for. A driver can need a minute after the boot."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from builder.vm.protocol import ExpectedGpus

from .fault import Fault
from .text import clean

PAUSE_SECONDS = 3.0
CALL_SECONDS = 60.0


def wait_for_gpu(accelerator: ExpectedGpus, deadline: float, report: Callable[[str], None]) -> None:
    """Return once `nvidia-smi` lists enough GPUs. Raises `Fault` at `deadline` (monotonic seconds)."""
    while True:
        said = _ask().splitlines()
        found = [line for line in said if line.startswith("GPU ")]
        if len(found) >= accelerator.count:
            for line in found:
                report(line)
            return
        if time.monotonic() + PAUSE_SECONDS > deadline:
            wanted = f"{accelerator.type} x {accelerator.count}"
            seen = f"lists {len(found)}" if found else f"says: {clean(said[-1] if said else '')}"
            raise Fault("gpu_not_visible", f"{wanted} was asked for, but nvidia-smi {seen}")
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
