"""results/history.json: the last runs of each job, which the page shows beside this one. No verdict depends on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from builder.act.result import RunResult, color
from builder.model import GcsLocation
from builder.ports import CallFailed, ObjectStore
from builder.report.run_report import PastRun
from builder.strict_json import UnreadableJson, read_document

MAX_RUNS = 20  # of one job
MAX_JOBS = 1000  # those that ran last
MAX_BYTES = 8 * 2**20
_SCHEMA = 1
_TRIES = 5  # other runs may write the object at the same time

History = Mapping[str, Sequence[PastRun]]


def add_to_history(
    result: RunResult, store: ObjectStore, location: GcsLocation, log: Callable[[str], None]
) -> History:
    """Add this run to the object, and return the earlier runs of its jobs, oldest first.

    A failure is logged, and the report has no history then.
    """
    name = location.object("results", "history.json")
    try:
        for _ in range(_TRIES):
            existing = store.stat(name)
            generation = existing.generation if existing else 0
            before = _read(store, name, existing.size, generation) if existing else {}
            content = _encode(with_run(before, result))
            if store.swap(name, content, generation=generation, content_type="application/json"):
                return {job.job: before.get(job.job, ()) for job in result.jobs}
        log(
            f"warning: the report shows no earlier runs, because other runs changed {location.url('results', 'history.json')} at each try"
        )
    except CallFailed as failure:
        log(f"warning: the report shows no earlier runs: {failure}")
    return {}


def with_run(history: History, result: RunResult) -> History:
    """Return the history with this run at the end of each of its jobs, within its bounds."""
    added = {
        job.job: (
            *history.get(job.job, ()),
            PastRun(result.run, result.began, color(job.verdict), round(job.seconds, 3)),
        )[-MAX_RUNS:]
        for job in result.jobs
        if job.attempts
    }
    kept = [item for item in history.items() if item[0] not in added]
    room = max(0, MAX_JOBS - len(added))
    return {**dict(kept[len(kept) - room :] if room < len(kept) else kept), **added}


def _read(store: ObjectStore, name: str, size: int, generation: int) -> History:
    """Return what the object holds; nothing if it is too large, is gone, or another version wrote it."""
    raw = store.read(name, generation=generation) if size <= MAX_BYTES else None
    return decode(raw or b"")


def decode(raw: bytes) -> History:
    """Return the history in these bytes; an empty one if they hold none of this version."""
    try:
        jobs = read_document(raw, _SCHEMA)["jobs"]
        return {str(job): tuple(_past_run(run) for run in runs)[-MAX_RUNS:] for job, runs in jobs.items()}
    except (UnreadableJson, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _past_run(value: Mapping[str, Any]) -> PastRun:
    return PastRun(
        run=str(value["run"]),
        began=str(value["began"]),
        verdict=str(value["verdict"]),
        seconds=max(0.0, 0.0 + value["seconds"]),  # no text, which "0.0 +" refuses
    )


def _encode(history: History) -> bytes:
    jobs = {job: [asdict(run) for run in runs] for job, runs in history.items()}
    return (json.dumps({"schema": _SCHEMA, "jobs": jobs}, separators=(",", ":")) + "\n").encode()
