"""The attempt that this VM carries out: what all steps of the run share, and how the builder hears of it."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from builder.vm.protocol import DONE, EVIDENCE, HEARTBEAT, PREEMPTED, StoredObject, log_chunk

from .conversion import Conversion
from .facts import Facts
from .fault import Fault, Stop, ended
from .frames import Injected
from .heartbeat import HeartbeatWriter
from .lease import LeaseWatcher
from .log import Log
from .redaction import Redactor
from .settings import Settings
from .spot import Preemption
from .storage import Bucket

HEARTBEAT_PATIENCE = 5.0
MAX_SERIAL_LINE = 400
PREEMPTION = Fault(PREEMPTED, "Compute Engine took the Spot VM back")
TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}


def print_line(text: str) -> None:
    """Print a line; the bootstrap passes it on to the serial port."""
    with suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Attempt:
    """One attempt at the job, from its start to its evidence. `stopping` ends it: the VM is about to end.

    `preempted` and `overrun` say why: Compute Engine takes the VM back, or the watchdog's limit is reached.
    """

    def __init__(self, settings: Settings) -> None:
        metadata = settings.metadata
        self.settings = settings
        self.tree = settings.home / "work"
        self.results = settings.home / "results"
        self.bucket = Bucket(metadata.storage_endpoint, metadata.bucket)
        self.staged: frozenset[Path] = frozenset()
        self.facts = Facts()
        self.stopping = threading.Event()
        self.preempted = threading.Event()
        self.overrun = threading.Event()
        self._interruptible = False
        self.redactor = Redactor({})
        self.log = Log(self._upload_chunk)
        self.conversion = Conversion()
        self.injected: Injected = ""
        self.lease = LeaseWatcher(
            lambda: self.bucket.generation(metadata.lease.object), metadata.lease.seconds, self.log.line
        )
        nonce_sha256 = hashlib.sha256(metadata.nonce.encode()).hexdigest()
        self.heartbeat = HeartbeatWriter(self._upload_heartbeat, nonce_sha256, metadata.attempt)
        self.heartbeat.report_failure = self.report
        self.heartbeat.log_chunks = lambda: self.log.chunks
        self._preemption = Preemption(self._on_preemption)
        self._phase_began = settings.started

    def start(self) -> None:
        """Start the threads that write the heartbeat and the log, and that watch the lease and the VM."""
        self.heartbeat.start()
        self.lease.start()
        self.log.start()
        self._preemption.start()

    def begin(self, phase: str) -> None:
        """Enter a phase of the run: the heartbeat has its name, and the evidence the seconds of the one before."""
        now = time.monotonic()
        self.facts.timings[self.heartbeat.phase] = round(now - self._phase_began, 3)
        self._phase_began = now
        self.heartbeat.phase = phase

    def show_progress(self, cell: int, cells: int) -> None:
        """Record the cell that papermill is at."""
        if cell > self.heartbeat.cell == 0:
            self.conversion.warm_up()  # not before: the kernel's start needs the processor
        self.heartbeat.cell, self.heartbeat.cells = cell, cells

    def stop_cause(self) -> Stop:
        """Return why the notebook must end now, or "" if it need not."""
        if self.stopping.is_set():
            return "overrun" if self.overrun.is_set() else "stopped"
        return "abandoned" if self.lease.lost else ""

    def stop(self, *, overrun: bool) -> None:
        """End the run from a signal's handler. Raises `Fault` in `interruptible` work."""
        if overrun:
            self.overrun.set()
        self.stopping.set()
        self._interrupt()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end the work of the `with` block by `Fault`: the VM's end leaves no time for it.

        A preempted VM has a limit of its own for its work (`results`).
        """
        self._interruptible = True
        try:
            self._interrupt()
            yield
        finally:
            self._interruptible = False

    def _interrupt(self) -> None:
        if self._interruptible and self.stopping.is_set() and not self.preempted.is_set():
            self._interruptible = False
            raise ended(self.stop_cause(), "before its results were stored")

    def protect(self, secrets: dict[str, str]) -> None:
        """Redact these values, given by variable, from all that leaves the VM from now on."""
        self.redactor = Redactor(secrets)
        self.log.protect(self.redactor)

    def report(self, text: str) -> None:
        """Print a line for the serial port, without secrets."""
        print_line(self.redactor.text(text)[:MAX_SERIAL_LINE])

    def upload(self, name: str, source: Path) -> StoredObject:
        """Upload a file, named below the attempt's prefix. Raises `StorageError`."""
        content_type = TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
        return self._create(name, source, content_type)

    def finish(self) -> None:
        """Store the end of the log, the last heartbeat, and the evidence, in this order. Raises `StorageError`."""
        self.begin(DONE)
        self.heartbeat.stop()
        log = self.log.finish()
        self.heartbeat.finish()
        evidence = self.facts.evidence(self.settings, log, self.redactor)
        self._create(EVIDENCE, evidence.encode(), "application/json")

    def _on_preemption(self) -> None:
        """End the notebook: seconds are left.

        The next heartbeat reports it, in case nothing else reaches the builder.
        """
        self.preempted.set()
        self.heartbeat.last_phase = PREEMPTED
        self.log.line(PREEMPTION.line)
        self.stopping.set()

    def _create(self, name: str, source: bytes | Path, content_type: str) -> StoredObject:
        stored = self.bucket.create(self.settings.metadata.attempt_prefix + name, source, content_type)
        return replace(stored, name=name)

    def _upload_chunk(self, number: int, content: bytes) -> None:
        self._create(log_chunk(number), content, "text/plain; charset=utf-8")

    def _upload_heartbeat(self, content: bytes) -> None:
        name = self.settings.metadata.attempt_prefix + HEARTBEAT
        self.bucket.overwrite(name, content, HEARTBEAT_PATIENCE)
