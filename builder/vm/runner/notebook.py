"""Runs papermill as a child process: reads its events and output, enforces the limits, and explains its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

from builder.vm.protocol import DEAD_KERNEL, Notice

from . import processes
from .fault import Stop
from .frames import Reader
from .log import Log
from .papermill_end import Ended, Seen, fault_of
from .papermill_request import PapermillRequest
from .redaction import Stream

READ_BYTES = 256 * 1024
RAW_BYTES = 8 * 1024
TICK_SECONDS = 0.5
# The time for papermill to save the notebook when a limit is reached.
SAVE_SECONDS = 15.0
# A VM's shutdown signals papermill, its kernel and the runner at the same time; the runner can be the last.
STOP_SECONDS = 1.0
MAX_NOTICES = 100  # of each kind, so that none hides another one
TERMINATED = 128 + signal.SIGTERM

_ENDS = {
    "ok": "ok",
    "skipped": "skipped",
    "shown": "showed an error after",
    **dict.fromkeys(("failed", "died", "timeout", "aborted"), "failed after"),
}


class Papermill:
    """papermill's process. It loads while the inputs are fetched, and executes at `run`."""

    def __init__(self) -> None:
        request_read, self._request = os.pipe()
        self._frames, frames_write = os.pipe()
        main = Path(__file__).resolve().parent
        self._child = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-W",
                "ignore",
                str(main),
                "papermill",
                str(request_read),
                str(frames_write),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # separate: in one pipe, another stream's output could interrupt a value
            pass_fds=(request_read, frames_write),
            start_new_session=True,
        )
        os.close(request_read)
        os.close(frames_write)
        self._seen = Seen()
        self._reader = Reader()
        self._raw = b""
        self._raw_streams: dict[int, Stream] = {}

    def run(
        self,
        request: PapermillRequest,
        log: Log,
        on_progress: Callable[[int, int], None],
        stopping: Callable[[], Stop],
        spared: Callable[[], Collection[int]] = frozenset,
    ) -> Ended:
        """Execute the notebook to its end, its limit, or until `stopping()` names a cause.

        All other descendants are ended too, except those whose ids `spared()` returns.
        """
        self._log = log
        printed = (pipe for pipe in (self._child.stdout, self._child.stderr) if pipe)
        self._raw_streams = {pipe.fileno(): Stream(log.redactor) for pipe in printed}
        self._on_progress = on_progress
        kills = processes.out_of_memory_kills()
        begun = time.monotonic()
        with os.fdopen(self._request, "wb") as pipe:
            pipe.write(request.message())
        cause = self._follow(begun + request.timeout, stopping)
        seconds = time.monotonic() - begun
        if cause:
            self._stop()
        code = self._child.wait()
        cause = cause or _stopped(code, stopping)
        if code == DEAD_KERNEL or code < 0:
            self._log.output(self._raw + b"".join(stream.end() for stream in self._raw_streams.values()))
        self._log.end_output()
        ended = processes.end_descendants(gently=not cause, spared=spared())
        if ended and not cause:
            shown = ", ".join(sorted(set(ended))[:5])
            self._log.line(f"ended {len(ended)} processes that the notebook left running: {shown}")
        out_of_memory = processes.out_of_memory_kills() > kills
        if out_of_memory:
            self._log.line("the machine ran out of memory, and Linux ended a process")
        fault = fault_of(code, self._seen, cause, request, out_of_memory=out_of_memory)
        return Ended(code, seconds, fault, tuple(self._seen.notices))

    def _follow(self, deadline: float, stopping: Callable[[], Stop]) -> Stop | Literal["timeout"]:
        """Read until papermill ends. Returns "", or the cause for which it must be ended."""
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._frames, *self._raw_streams):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(TICK_SECONDS):
                    # The end of the frames is papermill's end, since no other process has that pipe. Processes that
                    # the notebook started can keep the other pipes open.
                    if not self._take(key.fd):
                        if key.fd == self._frames:
                            for descriptor in self._raw_streams:
                                self._take(descriptor)
                            return ""
                        selector.unregister(key.fd)
                self._log.tick()
                if cause := stopping():
                    return cause
                if time.monotonic() > deadline:
                    return "timeout"

    def _take(self, descriptor: int) -> bool:
        """Read once. Returns True if the pipe is open."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        if descriptor != self._frames:
            # Redacted before it is cut, since half of a value is not recognized.
            self._take_raw(self._raw_streams[descriptor].feed(data))
            return bool(data)
        for item in self._reader.feed(data):
            if isinstance(item, bytes):
                self._log.output(item)
            else:
                self._event(item)
        return bool(data)

    def _take_raw(self, data: bytes) -> None:
        """Take output outside Jupyter's protocol, from a kernel that starts or dies.

        Output of cells on descriptors 1 and 2 arrives here a second time, so it is shown only if the kernel dies.
        """
        if self._seen.cell is None and not self._seen.running:
            self._log.output(data)
        else:
            self._raw = (self._raw + data)[-RAW_BYTES:]

    def _event(self, event: dict[str, Any]) -> None:
        seen = self._seen
        kind = event["event"]
        if kind == "cells":
            seen.cells = event["cells"]
        elif kind == "start":
            seen.cell, seen.running = event["cell"] or None, True
        elif kind == "note":
            self._log.line(
                f"{_place(event['cell'], seen.cells)}: {event['text']}" if "cell" in event else event["text"]
            )
        elif kind == "error":
            seen.error = event
        elif kind == "notice":
            self._noticed(event)
        elif kind == "end":
            self._cell_ended(event)
        self._on_progress(seen.cell or 0, seen.cells)

    def _noticed(self, event: dict[str, Any]) -> None:
        """Record and log a failure that Jupyter lets pass: the first ones of its kind, which explain the others."""
        kind, place = event["kind"], _place(event["cell"], self._seen.cells)
        known = sum(notice.kind == kind for notice in self._seen.notices)
        if known == MAX_NOTICES:
            return
        self._seen.notices.append(Notice(kind, event["cell"], event["message"]))
        self._log.end_output()
        self._log.line(f"{place}: Jupyter lets this failure pass ({kind}): {event['message']}")
        if known + 1 == MAX_NOTICES:
            self._log.line(f"{place}: no more failures of this kind are listed ({kind})")

    def _cell_ended(self, event: dict[str, Any]) -> None:
        seen, status, seconds = self._seen, event["status"], event["seconds"]
        # A cell in which the kernel died, that reached its limit, or that papermill could not follow, still runs.
        seen.running = status in {"died", "timeout", "aborted"}
        seen.timed_out = status == "timeout"
        if status in {"failed", "shown"}:
            seen.failed = event["error"]
        self._log.end_output()
        error = event["error"].partition("\n")[0]
        if event["cell"] or status not in {"ok", "skipped"}:
            self._log.line(
                f"{_place(event['cell'], seen.cells)} {_ENDS[status]} {seconds:.1f} s{error and ': ' + error}"
            )

    def _stop(self) -> None:
        """Let papermill save the notebook in its current state, then end it."""
        self._child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SAVE_SECONDS
        while self._child.poll() is None and time.monotonic() < deadline:
            # It can be waiting until its output is read.
            with contextlib.suppress(OSError):
                self._take(self._frames)
            time.sleep(0.01)
        self._child.kill()

    def abandon(self) -> None:
        """End the process if it was never used."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()


def _place(cell: int, cells: int) -> str:
    return f"cell {cell}/{cells}" if cell else "injected parameters"


def _stopped(code: int, stopping: Callable[[], Stop]) -> Stop:
    """Return the cause if papermill ended because the run must end. Waits a moment if its exit code suggests that."""
    deadline = time.monotonic() + (STOP_SECONDS if code < 0 or code in {TERMINATED, DEAD_KERNEL} else 0)
    while not (cause := stopping()):
        if time.monotonic() >= deadline:
            return ""
        time.sleep(0.02)
    return cause
