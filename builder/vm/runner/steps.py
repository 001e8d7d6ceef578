"""Runs a command before the notebook: logs its output, enforces its limit, and ends it if the run must end."""

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

from .fault import Stop, ended
from .log import Log
from .text import Lines

READ_BYTES = 64 * 1024
PIPE_BYTES = 64 * 1024  # of a pipe on Linux (pipe(7))
# Of longer output only the end is kept; the log has all of it.
KEPT_BYTES = 256 * 1024
TICK_SECONDS = 0.1
SHOWN_LINES = 3
SHOWN_LETTERS = 120


@dataclass(frozen=True)
class Finished:
    """The end of a command: its exit code, and the last lines of its output."""

    code: int
    lines: tuple[str, ...]

    @property
    def last_lines(self) -> str:
        """The last lines of its output, in one line."""
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
    """Run `command` to its end. Returns None if it reaches its `limit` in seconds.

    Processes that it leaves keep running. Raises `Fault`, with `name`, if the whole run must end, and `OSError` if the
    command cannot be started.
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
    cause: Stop = ""
    late = False
    while output.wait() and not cause and not late:
        cause, late = stopping(), time.monotonic() > deadline
    if cause or late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    code = child.wait()
    lines = output.end()
    if cause:
        raise ended(cause, f"during {name}")
    return None if late else Finished(code, lines)


class _Output:
    """A child's output, which goes to the log; its end is kept.

    Other processes can keep the pipe open longer than the child.
    """

    def __init__(self, child: subprocess.Popen[bytes], log: Log) -> None:
        assert child.stdout is not None  # noqa: S101 - we asked for the pipe
        self._child, self._pipe, self._log = child, child.stdout, log
        self._kept = b""
        os.set_blocking(self._pipe.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def wait(self) -> bool:
        """Read for a moment. Returns True if the child runs."""
        for key, _ in self._selector.select(TICK_SECONDS):
            if not self._take():
                self._selector.unregister(key.fileobj)
        return self._child.poll() is None

    def _take(self) -> bool:
        """Read once. Returns True if there was output."""
        try:
            data = os.read(self._pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return False
        self._log.output(data)
        self._kept = (self._kept + data)[-KEPT_BYTES:]
        return bool(data)

    def end(self) -> tuple[str, ...]:
        """Read what the child left in the pipe; return the end of the output as lines.

        A process that the child left can write for ever, so what a full pipe holds is the most that is read.
        """
        for _ in range(PIPE_BYTES // READ_BYTES + 1):
            if not self._take():
                break
        self._selector.close()
        # Processes that the command left can print more. It is discarded, since a closed pipe would end them.
        threading.Thread(target=_drain, args=(self._pipe,), daemon=True).start()
        self._log.end_output()
        lines = Lines()
        return (*lines.feed(self._kept), *lines.end())


def _drain(pipe: IO[bytes]) -> None:
    """Read until no process has the other end open."""
    os.set_blocking(pipe.fileno(), True)
    with pipe:
        while os.read(pipe.fileno(), READ_BYTES):
            pass
