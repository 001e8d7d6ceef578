"""Runs papermill as a child: reads what it reports and prints, keeps its limits, and says how it ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import processes
from .frames import Reader
from .log import Log
from .redaction import Stream
from .settings import INJECTED, Fault

DEAD_KERNEL = 138
READ_BYTES = 256 * 1024
RAW_BYTES = 8 * 1024
TICK_SECONDS = 0.5
# A kernel's first start on a fresh disk is slow.
KERNEL_SECONDS = 180
# How long papermill gets to save the notebook when a limit is reached.
SAVE_SECONDS = 15.0
# A VM's shutdown tells papermill, its kernel and us at the same time: ours may be told last.
STOP_SECONDS = 1.0
TERMINATED = 128 + signal.SIGTERM

# Why the notebook must end although papermill has not: the VM ends ("stopped"), or nobody waits for it ("abandoned").
Stop = Literal["", "stopped", "abandoned"]


@dataclass(frozen=True)
class Order:
    """What papermill is to do. `folder` holds input.ipynb and gets output.ipynb; `cwd` is the notebook's own.

    `replaces_injected` says whether parameters take the place of a code cell of the input. `secrets` are variables of the
    kernel alone.
    """

    folder: Path
    cwd: Path
    notebook: str
    name: str
    kernel: str
    language: str
    parameters: dict[str, Any]
    replaces_injected: bool
    environment: dict[str, str]
    timeout: float
    cell_timeout: float | None
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def message(self) -> bytes:
        """Return it as papermill's process reads it."""
        arguments = ["-k", self.kernel, "-l", self.language, "--cwd", str(self.cwd)]
        arguments += ["--start-timeout", str(KERNEL_SECONDS)]
        if self.cell_timeout is not None:
            arguments += ["--execution-timeout", str(math.ceil(self.cell_timeout))]
        value = {
            "arguments": arguments,
            "folder": str(self.folder),
            "notebook": self.notebook,
            "name": self.name,
            "language": self.language,
            "parameters": self.parameters,
            "replaces_injected": self.replaces_injected,
            "environment": self.environment,
            "secrets": self.secrets,
        }
        return json.dumps(value).encode()


def replaces_injected(notebook: dict[str, Any]) -> bool:
    """Say whether papermill would put its parameters in the place of a code cell, as in a notebook that it wrote."""
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    tagged = (cell for cell in cells if INJECTED in ((cell.get("metadata") or {}).get("tags") or ()))
    return next((cell.get("cell_type") == "code" for cell in tagged), False)


@dataclass
class Seen:
    """What the events have told so far. A cell's number is None for papermill's injected parameters."""

    cells: int = 0
    cell: int | None = None
    running: bool = False
    timed_out: bool = False
    failed: str = ""
    error: dict[str, Any] = field(default_factory=dict)

    def where(self) -> str:
        """Say in words where papermill was."""
        if self.cell is None:
            return "before the first cell" if not self.running else "in the injected parameters"
        return f"{'in' if self.running else 'after'} cell {self.cell} of {self.cells}"


@dataclass(frozen=True)
class Ended:
    """How papermill ended: its exit code, its seconds, and the fault, where its end was not its own affair."""

    exit_code: int
    seconds: float
    fault: Fault | None


class Papermill:
    """papermill's process. It loads while the inputs are fetched, and begins at `run`."""

    def __init__(self) -> None:
        order_read, self._order = os.pipe()
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
                str(order_read),
                str(frames_write),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # apart: in one pipe, pieces of a value could stand among the other's
            pass_fds=(order_read, frames_write),
            start_new_session=True,
        )
        os.close(order_read)
        os.close(frames_write)
        self._seen = Seen()
        self._reader = Reader()
        self._raw = b""
        self._raw_streams: dict[int, Stream] = {}

    def run(
        self,
        order: Order,
        log: Log,
        on_progress: Callable[[int, int], None],
        stopping: Callable[[], Stop],
        spared: Callable[[], Collection[int]] = frozenset,
    ) -> Ended:
        """Execute the notebook to its end, its limit, or until `stopping()` names a cause.

        Every other process of ours is ended with it, except those whose ids `spared()` gives.
        """
        self._log = log
        printed = (pipe for pipe in (self._child.stdout, self._child.stderr) if pipe)
        self._raw_streams = {pipe.fileno(): Stream(log.redactor) for pipe in printed}
        self._on_progress = on_progress
        kills = processes.out_of_memory_kills()
        begun = time.monotonic()
        with os.fdopen(self._order, "wb") as pipe:
            pipe.write(order.message())
        cause = self._follow(begun + order.timeout, stopping)
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
            self._log.note(f"ended {len(ended)} processes that the notebook left running: {shown}")
        out_of_memory = processes.out_of_memory_kills() > kills
        return Ended(code, seconds, fault_of(code, self._seen, cause, order, out_of_memory=out_of_memory))

    def _follow(self, deadline: float, stopping: Callable[[], Stop]) -> Stop | Literal["timeout"]:
        """Read until papermill's end. Return "" then, or what must end it."""
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._frames, *self._raw_streams):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(TICK_SECONDS):
                    # The end of the frames is papermill's end: nobody else holds that pipe. The other one may be
                    # kept open by whatever the notebook has started.
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
        """Read once; say whether the pipe is still open."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        if descriptor != self._frames:
            # Redacted before it is cut: half of a value would not be known any more.
            self._take_raw(self._raw_streams[descriptor].feed(data))
            return bool(data)
        for item in self._reader.feed(data):
            if isinstance(item, bytes):
                self._log.output(item)
            else:
                self._event(item)
        return bool(data)

    def _take_raw(self, data: bytes) -> None:
        """Take what came past Jupyter's protocol: words of a kernel that starts, or dies.

        What cells write to descriptors 1 and 2 comes here a second time, so it is only shown if the kernel dies.
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
            self._log.note(event["text"])
        elif kind == "error":
            seen.error = event
        elif kind == "end":
            self._cell_ended(event)
        self._on_progress(seen.cell or 0, seen.cells)

    def _cell_ended(self, event: dict[str, Any]) -> None:
        seen, status, seconds = self._seen, event["status"], event["seconds"]
        # A cell during which the kernel died, or that reached its limit, stays the one that was running.
        seen.running = status in {"died", "timeout"}
        seen.timed_out = status == "timeout"
        seen.failed = event["error"] if status == "failed" else ""
        self._log.end_output()
        what = f"cell {event['cell']}/{seen.cells}" if event["cell"] else "injected parameters"
        if status in {"ok", "skipped"}:
            if event["cell"]:
                detail = f": {event['error']}" if event["error"] else ""
                self._log.note(f"{what} {'ok' if status == 'ok' else 'skipped'} {seconds:.1f} s{detail}")
        else:
            first = event["error"].partition("\n")[0]
            self._log.note(f"{what} failed after {seconds:.1f} s: {first}")

    def _stop(self) -> None:
        """Have papermill save the notebook as it stands, then end it."""
        self._child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SAVE_SECONDS
        while self._child.poll() is None and time.monotonic() < deadline:
            # It may be waiting for us to take its output.
            with contextlib.suppress(OSError):
                self._take(self._frames)
            time.sleep(0.01)
        self._child.kill()

    def abandon(self) -> None:
        """End the process if it was never used."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()


def _stopped(code: int, stopping: Callable[[], Stop]) -> Stop:
    """Say whether papermill's end is part of our own. Waits a moment for that where it looks like it."""
    deadline = time.monotonic() + (STOP_SECONDS if code < 0 or code in {TERMINATED, DEAD_KERNEL} else 0)
    while not (cause := stopping()):
        if time.monotonic() >= deadline:
            return ""
        time.sleep(0.02)
    return cause


def fault_of(code: int, seen: Seen, cause: str, order: Order, *, out_of_memory: bool) -> Fault | None:
    """Return why papermill ended, where its exit code alone does not say it."""
    return next(
        _explanations(code, seen, cause, order, "; the machine ran out of memory" if out_of_memory else ""),
        None,
    )


def _explanations(code: int, seen: Seen, cause: str, order: Order, memory: str) -> Iterator[Fault]:
    """Yield the explanations that fit, the strongest first."""
    cell, where = seen.cell, seen.where()
    if cause == "timeout":
        yield Fault(
            "notebook_timeout", f"the notebook reached its limit of {order.timeout:g} s {where}", cell
        )
    if cause == "stopped":
        yield Fault("runner", f"the VM's watchdog, or its shutdown, ended the run {where}", cell)
    if cause == "abandoned":
        yield Fault(
            "lease_lost", f"the build gave no sign of life any more, and the run was ended {where}", cell
        )
    if seen.timed_out:
        yield Fault(
            "cell_timeout", f"cell {cell} of {seen.cells} reached its limit of {order.cell_timeout:g} s", cell
        )
    if seen.error.get("disk_full") or "[Errno 28]" in seen.failed:
        yield Fault("disk_full", f"the VM's disk is full {where}", cell)
    if code == DEAD_KERNEL:
        peak = f"; its peak memory was {processes.peak_memory_bytes() / 1e6:,.0f} MB"
        yield Fault("kernel_died", f"the kernel died {where}{memory or peak}", cell)
    if code < 0:
        yield Fault("kernel_died", f"papermill was ended by signal {-code} {where}{memory}", cell)
    if seen.error.get("type") == "NoSuchKernel":
        yield Fault("kernel_not_found", f"kernel {order.kernel!r} is not on this image")
    if code and not seen.failed:
        # Before any cell ran it was the kernel that did not come up.
        text = seen.error.get("text", "") or f"papermill's exit code was {code}"
        yield Fault("kernel_died", f"the kernel failed {where}: {text}", cell)
