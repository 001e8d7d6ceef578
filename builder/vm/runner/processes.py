"""Processes on this machine: adopting orphans, ending trees, how much memory was used."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from collections.abc import Collection
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
# Orphans of those that were ended become ours; each round takes one generation.
ROUNDS = 5


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, whatever session it made for itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(
    *, gently: bool, patience: float = 2.0, spared: Collection[int] = frozenset()
) -> list[str]:
    """End all descendants but the `spared`, asking first if `gently`; return the names of those that were at work."""
    ended: list[str] = []
    for attempt in range(ROUNDS):
        found = [child for child in psutil.Process().children(recursive=True) if child.pid not in spared]
        if not found:
            break
        alive = [process for process in found if _is_alive(process)]
        ended = ended or [_name(process) for process in alive]
        for process in alive:
            with contextlib.suppress(psutil.Error):
                (process.terminate if gently and attempt == 0 else process.kill)()
        # A dead one stays in the list until it has been waited for; the children of others cannot be.
        psutil.wait_procs(found, timeout=patience)
    return ended


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "?"


def peak_memory_bytes() -> int:
    """Return the most memory that one of our ended descendants has held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def out_of_memory_kills() -> int:
    """Return how often the kernel of this machine has killed a process for want of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
