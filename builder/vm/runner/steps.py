"""Runs a command before the notebook: relays its output, keeps its limit, and ends it when the run must end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .log import Log
from .notebook import Stop
from .settings import Fault
from .text import Lines

READ_BYTES = 64 * 1024
# Of a longer output only the end is looked at; the log has it all.
KEPT_BYTES = 256 * 1024
TICK_SECONDS = 0.1
SHOWN_LINES = 3
SHOWN_LETTERS = 120
LOST = {
    "stopped": ("runner", "the VM's watchdog, or its shutdown, ended the run during {}"),
    "abandoned": ("lease_lost", "the build gave no sign of life any more, and the run was ended during {}"),
}


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code, and the end of what it printed, as clean lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def last_words(self) -> str:
        """Its last lines, in one."""
        said = [line.strip()[:SHOWN_LETTERS] for line in self.lines if line.strip()]
        return " / ".join(said[-SHOWN_LINES:])


def run(
    command: Sequence[str],
    *,
    name: str,
    cwd: Path,
    environment: Mapping[str, str],
    limit: float,
    log: Log,
    stopping: Callable[[], Stop],
) -> Finished | None:
    """Run `command` to its end; None when it reached its `limit` in seconds.

    What it leaves running stays. Raises `Fault` when the whole run must end, in which `name` says during what; `OSError` when it
    cannot be started.
    """
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    output = _Output(child, log)
    deadline = time.monotonic() + limit
    cause: str = ""
    while output.wait() and not cause:
        cause = stopping() or ("timeout" if time.monotonic() > deadline else "")
    if cause:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    code = child.wait()
    lines = output.end()
    if cause in LOST:
        reason, message = LOST[cause]
        raise Fault(reason, message.format(name))
    return Finished(code, lines) if not cause else None


class _Output:
    """What a child prints: to the log as it comes, the end of it kept. Others may hold the pipe longer than the child lives."""

    def __init__(self, child: subprocess.Popen[bytes], log: Log) -> None:
        assert child.stdout is not None  # noqa: S101 - we asked for the pipe
        self._child, self._pipe, self._log = child, child.stdout, log
        self._kept = b""
        os.set_blocking(self._pipe.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def wait(self) -> bool:
        """Take what comes within a moment; say whether the child still runs."""
        for key, _ in self._selector.select(TICK_SECONDS):
            if not self._take():
                self._selector.unregister(key.fileobj)
        return self._child.poll() is None

    def _take(self) -> bool:
        """Read once; say whether there was something."""
        try:
            data = os.read(self._pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return False
        self._log.output(data)
        self._kept = (self._kept + data)[-KEPT_BYTES:]
        return bool(data)

    def end(self) -> tuple[str, ...]:
        """Take the rest that is there; return the end of it all as lines."""
        while self._take():
            pass
        self._selector.close()
        # What the command left running may go on printing: to nowhere, but a closed pipe would end it.
        threading.Thread(target=_drain, args=(self._pipe,), daemon=True).start()
        self._log.end_output()
        lines = Lines()
        return (*lines.feed(self._kept), *lines.end())


def _drain(pipe: IO[bytes]) -> None:
    """Read to the end, which comes once nobody holds the other end any more."""
    os.set_blocking(pipe.fileno(), True)
    with pipe:
        while os.read(pipe.fileno(), READ_BYTES):
            pass
