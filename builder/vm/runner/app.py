"""One run on the VM, from top to bottom: inputs, environment, secrets, notebook, results, evidence.

The runner reports facts; the builder alone judges them. The first fault of a run ends its steps and stands in the
evidence.
"""

from __future__ import annotations

import errno
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from builder.vm.codec import ProtocolError
from builder.vm.protocol import ABANDONED, Job

from . import inputs, results, secret_values
from .attempt import PREEMPTION, Attempt, print_line
from .environment import Environment
from .fault import Fault
from .notebook import Papermill
from .settings import Settings
from .storage import StorageError


def main(arguments: list[str], papermill: Papermill) -> int:
    """Run the job that the settings file describes.

    Return 0 or `ABANDONED` if the evidence is stored, green or red.
    """
    os.umask(0o022)
    try:
        attempt = Attempt(Settings.load(Path(arguments[0])))
    except ProtocolError as error:
        papermill.abandon()
        print_line(f"failed: metadata: {error}")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: attempt.stop(overrun=False))
    signal.signal(signal.SIGALRM, lambda *_: attempt.stop(overrun=True))  # from the watchdog in the bootstrap
    try:
        run(attempt, papermill)
    except StorageError as error:
        attempt.report(f"failed: storage: {error}")
        return 1
    return ABANDONED if attempt.lease.lost else 0


def run(attempt: Attempt, papermill: Papermill) -> None:
    """Carry the job out and store the evidence. Raises `StorageError` if the evidence cannot be stored."""
    attempt.start()
    job: Job | None = None
    with recorded_faults(attempt):
        job = inputs.fetch_job(attempt)
        execute(attempt, job, papermill)
    if attempt.preempted.is_set():
        attempt.facts.fault = PREEMPTION
    papermill.abandon()
    report_fault(attempt)
    results.begin(attempt)
    with recorded_faults(attempt):
        if job is not None:
            results.store(attempt, job)
    attempt.conversion.abandon()
    attempt.finish()


def execute(attempt: Attempt, job: Job, papermill: Papermill) -> None:
    """Prepare the VM as the job asks, and run its notebook. Raises `Fault`, `StorageError` and `OSError`."""
    attempt.heartbeat.seconds = job.heartbeat_seconds
    environment = Environment(attempt, job)
    attempt.begin("workspace")
    loaded = inputs.load(attempt, job)
    environment.install(loaded)
    attempt.begin("environment")
    request = environment.papermill_request(loaded)
    if job.secrets:
        attempt.begin("secrets")
        request = replace(request, secrets=secret_values.read(attempt, job, loaded))
    attempt.begin("notebook")
    attempt.injected = request.injected
    ended = papermill.run(
        request, attempt.log, attempt.show_progress, attempt.stop_cause, lambda: attempt.conversion.pids
    )
    attempt.facts.ended, attempt.facts.fault = ended, ended.fault


@contextmanager
def recorded_faults(attempt: Attempt) -> Iterator[None]:
    """Record what ends the `with` block as the attempt's fault; if it has one, log the later one."""
    try:
        yield
    except (Fault, StorageError, OSError) as error:
        first, later = attempt.facts.fault, fault_of(error)
        attempt.facts.fault = first or later
        if first and later is not first:
            attempt.log.line(f"then: {later.line}")
    except Exception as error:  # noqa: BLE001 - a bug of Notebook Builder is reported like any other fault
        for line in "".join(traceback.format_exception(error)).splitlines():
            attempt.log.line(f"bug: {line}")
        attempt.facts.fault = attempt.facts.fault or Fault("runner", f"{type(error).__name__}: {error}")


def fault_of(error: Fault | StorageError | OSError) -> Fault:
    """Return the fault that an exception stands for."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, StorageError):
        return Fault("forbidden" if error.forbidden else "storage", str(error))
    reason = "disk_full" if error.errno == errno.ENOSPC else "runner"
    return Fault(reason, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))


def report_fault(attempt: Attempt) -> None:
    """Report the fault, if there is one, in the log and on the serial port."""
    fault = attempt.facts.fault
    if fault is None:
        return
    if fault is not PREEMPTION:  # which is in the log already
        attempt.log.line(fault.line)
    attempt.report(f"fault: {fault.line}")
