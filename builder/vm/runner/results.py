"""The last step of the run: upload the executed notebook, its HTML pages, and the notebook's outputs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builder.vm.protocol import MAX_EVIDENCE_BYTES, UPLOAD, Job, Skipped

from . import outputs, redacted_files
from .attempt import PREEMPTION, Attempt
from .conversion import ConversionError
from .fault import Fault
from .storage import StorageError

UPLOADS_AT_ONCE = 8
SHOWN_SKIPPED = 10
PREEMPTED_SECONDS = 10.0
MAX_LISTED_BYTES = MAX_EVIDENCE_BYTES * 3 // 4  # of the evidence, for what it says about the outputs


def store(attempt: Attempt, job: Job) -> None:
    """Upload what the notebook left. Raises `Fault`.

    After SIGTERM, upload the notebook only; after a preemption also the outputs that a few seconds are enough for.
    """
    try:
        _store_notebook(attempt, job)
        # papermill may have ended well; without its outputs that is no result.
        with attempt.interruptible():
            _store_outputs(attempt, (attempt.tree / job.notebook).parent / "outputs")
            _name_files_beside(attempt)
    except (StorageError, ConnectionError, TimeoutError) as error:  # any other error is of the disk
        raise Fault("storage", str(error)) from error
    if attempt.preempted.is_set():
        raise PREEMPTION


def begin(attempt: Attempt) -> None:
    """Enter the upload phase, whose end is near: the last heartbeat is not to wait for one just before it."""
    attempt.begin(UPLOAD)
    if not attempt.preempted.is_set():
        attempt.heartbeat.hold_back()


def _store_notebook(attempt: Attempt, job: Job) -> None:
    """Upload the executed notebook, if papermill has written one, and its pages."""
    executed = attempt.settings.home / "papermill" / "output.ipynb"
    if not executed.is_file():
        return
    if attempt.redactor:
        attempt.results.mkdir(exist_ok=True)
        executed = redacted_files.notebook(executed, attempt.results / "executed.ipynb", attempt.redactor)
    converting = not attempt.stopping.is_set() and _begin_pages(attempt, executed, job)
    attempt.facts.stored.append(attempt.upload(f"{job.name}.ipynb", executed))
    attempt.facts.executed_notebook = f"{job.name}.ipynb"
    if converting:
        _store_pages(attempt, job)


def _begin_pages(attempt: Attempt, executed: Path, job: Job) -> bool:
    """Start the conversion to HTML; return True if it has started."""
    try:
        attempt.results.mkdir(exist_ok=True)
        folder = (attempt.tree / job.notebook).parent
        attempt.conversion.begin(executed, job.name, folder, attempt.results, attempt.injected)
    except (OSError, ConversionError) as error:
        attempt.log.line(f"no HTML pages: {error}")
        return False
    return True


def _store_pages(attempt: Attempt, job: Job) -> None:
    try:
        attempt.conversion.finish()
    except ConversionError as error:
        attempt.log.line(f"no HTML pages: {error}")
        return
    for name in (f"{job.name}.html", f"{job.name}-clean.html"):
        if attempt.redactor:
            redacted_files.page(attempt.results / name, attempt.redactor)
        attempt.facts.stored.append(attempt.upload(name, attempt.results / name))


def _store_outputs(attempt: Attempt, folder: Path) -> None:
    found, attempt.facts.skipped = outputs.scan(folder)
    if outputs.listed_bytes(found) > MAX_LISTED_BYTES:
        raise Fault("too_many_outputs", f"outputs/ has {len(found)} files, more than can be listed")
    if attempt.redactor:
        found = _without_secrets(attempt, found)
    for item in attempt.facts.skipped[:SHOWN_SKIPPED]:
        attempt.log.line(f"not uploaded: {item.path}: {item.why}")
    # Of the 30 seconds' notice, the evidence needs some too.
    seconds = PREEMPTED_SECONDS if attempt.preempted.is_set() else None
    pool = ThreadPoolExecutor(UPLOADS_AT_ONCE)
    try:
        for stored in pool.map(
            lambda output: attempt.upload(output.name, output.path), found, timeout=seconds
        ):
            attempt.facts.stored.append(stored)
    except TimeoutError:
        if seconds is None:
            raise  # of the file or the network, since there was no limit here
        attempt.log.line("preempted: the VM has no time for the other outputs")
    finally:
        pool.shutdown(wait=not attempt.stopping.is_set(), cancel_futures=True)


def _name_files_beside(attempt: Attempt) -> None:
    """Name in one line of the log what the notebook wrote where nothing is kept."""
    found = outputs.beside(attempt.tree, attempt.staged) if attempt.facts.ended else []
    if found:
        more = f" and {len(found) - SHOWN_SKIPPED} more" if len(found) > SHOWN_SKIPPED else ""
        shown = ", ".join(found[:SHOWN_SKIPPED])
        attempt.log.line(f"written outside outputs/, and not kept: {shown}{more}")


def _without_secrets(attempt: Attempt, found: list[outputs.Output]) -> list[outputs.Output]:
    """Return the outputs that may be uploaded. One that may not makes a run red that was good so far."""
    facts = attempt.facts
    kept, withheld = redacted_files.outputs_to_upload(found, attempt.results, attempt.redactor)
    facts.skipped = withheld + [Skipped(attempt.redactor.text(item.path), item.why) for item in facts.skipped]
    if withheld and not facts.fault and facts.ended and not facts.ended.exit_code:
        message = f"{withheld[0].path} was not uploaded: {withheld[0].why}"
        facts.fault = Fault("secret_in_output", message)
    return kept
