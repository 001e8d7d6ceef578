"""The pages' process as the runner sees it: warmed up while the notebook runs, given its order, waited for."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

PATIENCE = 120.0


class ConversionError(Exception):
    """There are no pages; the text says why, in a line."""


class Conversion:
    """A process that loads the converter, and waits. One that was ended meanwhile is started anew when it is needed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    @property
    def pids(self) -> frozenset[int]:
        """The process that no clean-up shall end."""
        return frozenset({self._child.pid} if self._child else ())

    def warm_up(self) -> None:
        """Start the process if there is none; what keeps it from starting shows when it is needed."""
        with contextlib.suppress(OSError):
            if self._child is None or self._child.poll() is not None:
                self._child = _start()

    def begin(self, source: Path, name: str, folder: Path, target: Path) -> None:
        """Order the pages of the notebook at `source`, which ran in `folder`, into `target`. Raises ConversionError."""
        order = {"source": str(source), "name": name, "folder": str(folder), "target": str(target)}
        if not self._send(order):
            self.abandon()
            if not self._send(order):
                raise ConversionError("the converter does not start")

    def finish(self) -> None:
        """Wait until the pages are there. Raises ConversionError."""
        child = self._child
        if child is None:
            raise ConversionError("no conversion was begun")
        try:
            _, complaint = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise ConversionError(f"the conversion took more than {PATIENCE:g} s") from None
        self._child = None
        if child.returncode:
            last = complaint.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
            raise ConversionError(last[0])

    def abandon(self) -> None:
        """End the process, if it is there."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _send(self, order: dict[str, str]) -> bool:
        """Write the order to a living process; say whether it took it."""
        self.warm_up()
        if self._child is None or self._child.stdin is None:
            return False
        try:
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()
        except OSError:
            return False
        return True


def _start() -> subprocess.Popen[str]:
    main = Path(__file__).resolve().parent
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-W", "ignore", str(main), "html"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A signal for the runner's group is not for it: what the notebook left is still to be shown.
        start_new_session=True,
    )
