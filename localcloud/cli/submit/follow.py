"""Shows a build's log line by line until the build is over, and cancels the build if the user stops."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol

from localcloud.cli.submit.api import LocalCloud, RefusedError

_PAUSE_SECONDS = 0.1
# The longest wait for the end of a cancelled build.
_CANCEL_SECONDS = 20.0


class Stop(Protocol):
    """The user's wish to stop following a build."""

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds; True if the user stops."""


def to_stdout(lines: bytes) -> None:
    """Write whole lines of a log to stdout, at once."""
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def follow(
    cloud: LocalCloud, build_id: str, stop: Stop, write: Callable[[bytes], object] = to_stdout
) -> None:
    """Write the log's lines until it is complete, or until the user stops; raises `RefusedError`."""
    shown = _Shown(cloud, build_id, write)
    while not shown.more():
        if stop.wait(_PAUSE_SECONDS):
            _cancel(cloud, build_id, shown)
            return


def _cancel(cloud: LocalCloud, build_id: str, shown: _Shown) -> None:
    sys.stderr.write("Cancelling...\n")
    sys.stderr.flush()
    try:
        cloud.cancel(build_id)
    except RefusedError as error:
        sys.stderr.write(f"ERROR: (localcloud submit) build {build_id} could not be cancelled: {error}\n")
        return
    deadline = time.monotonic() + _CANCEL_SECONDS
    while not shown.more() and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    sys.stderr.write(f"Cancelled [{build_id}].\n")


class _Shown:
    """The number of bytes of the log that have been written; a line without its end waits."""

    def __init__(self, cloud: LocalCloud, build_id: str, write: Callable[[bytes], object]) -> None:
        self._cloud = cloud
        self._build_id = build_id
        self._write = write
        self._offset = 0
        self._rest = b""

    def more(self) -> bool:
        """Write the new part of the log; True if the log is complete."""
        data, complete = self._cloud.log(self._build_id, self._offset)
        self._offset += len(data)
        lines, end, self._rest = (self._rest + data).rpartition(b"\n")
        lines += end
        if complete and self._rest:
            lines, self._rest = lines + self._rest + b"\n", b""
        if lines:
            self._write(lines)
        return complete
