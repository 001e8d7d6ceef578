"""Handles processes on this machine: adopts orphans, ends process trees, and reports memory use."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from collections.abc import Collection
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
# Orphans of ended processes become ours; each round ends one generation.
ROUNDS = 5
ROUND_SECONDS = 2.0


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant, in any session."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(*, gently: bool, spared: Collection[int]) -> list[str]:
    """End all descendants except the `spared`, by SIGTERM first if `gently`.

    Returns the names of those that were running.
    """
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
        # A dead process stays in the list until its parent has waited for it.
        psutil.wait_procs(found, timeout=ROUND_SECONDS)
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
    """Return the highest memory use of one of our ended descendants, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def out_of_memory_kills() -> int:
    """Return how many processes this machine's kernel has killed because memory ran out."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
