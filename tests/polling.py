"""Waits for other threads and processes, and asks if a process lives."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from tests.patience import PATIENCE


def eventually(
    condition: Callable[[], object],
    words: Callable[[], object] = lambda: "it did not happen in time",
    *,
    seconds: float = PATIENCE,
) -> None:
    """Poll until a condition holds; fail with `words()` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, words()
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """True if the process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
