"""Controls the process that makes the HTML pages: starts it while the notebook runs, sends the request, and waits."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from .frames import Injected

TIMEOUT_SECONDS = 120.0


class ConversionError(Exception):
    """The pages could not be made. The text gives the reason in one line."""


class Conversion:
    """The process that loads the converter and waits. If it was ended meanwhile, it is started again when needed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    @property
    def pids(self) -> frozenset[int]:
        """The ids of the process, which the clean-up after the notebook must spare."""
        return frozenset({self._child.pid} if self._child else ())

    def warm_up(self) -> None:
        """Start the process if there is none. A failure to start shows when the process is needed."""
        with contextlib.suppress(OSError):
            if self._child is None or self._child.poll() is not None:
                self._child = _start()

    def begin(self, source: Path, name: str, folder: Path, target: Path, injected: Injected) -> None:
        """Request the pages of the notebook at `source`, which ran in `folder`, in `target`. Raises ConversionError."""
        paths = {"source": str(source), "folder": str(folder), "target": str(target)}
        request = {**paths, "name": name, "injected": injected}
        if not self._send(request):
            self.abandon()
            if not self._send(request):
                raise ConversionError("the converter does not start")

    def finish(self) -> None:
        """Wait until the pages are there. Raises ConversionError."""
        child = self._child
        if child is None:
            raise ConversionError("no conversion was begun")
        try:
            _, complaint = child.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise ConversionError(f"the conversion took more than {TIMEOUT_SECONDS:g} s") from None
        self._child = None
        if child.returncode:
            last = complaint.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
            raise ConversionError(last[0])

    def abandon(self) -> None:
        """End the process, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _send(self, request: dict[str, str]) -> bool:
        """Write the request to the process. Returns True if it was accepted."""
        self.warm_up()
        if self._child is None or self._child.stdin is None:
            return False
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
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
        # A signal for the runner's group must not end it: the notebook's results are still to be shown.
        start_new_session=True,
    )
