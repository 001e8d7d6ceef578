"""versions/latest/: where the green results of each job's latest day are, for programs and as a page.

It has no copies, so it costs no storage, and one conditional write moves it to another day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import quote

from builder.act.result import RunResult
from builder.model import GcsLocation, JsonObject
from builder.ports import CallFailed, ObjectStore
from builder.report.folder_page import PAGE, Entry, links
from builder.report.page import render_page
from builder.report.run_report import shown_parameters
from builder.strict_json import readable

LATEST = "latest.json"
_FOLDER = "versions/latest"
_SCHEMA = 1
_TRIES = 5  # other runs may write the objects at the same time


def write_latest(
    result: RunResult, store: ObjectStore, location: GcsLocation, day: date, log: Callable[[str], None]
) -> None:
    """Name the green jobs of this run's day as the latest, but for those that have a later day. A failure is logged."""
    try:
        for _ in range(_TRIES):
            if _write(result, store, location, day):
                return
        log(f"warning: other runs write {location.url(_FOLDER)}/ all the time; it does not name this run")
    except CallFailed as failure:
        log(f"warning: {location.url(_FOLDER)}/ does not name this run: {failure}")


def _write(result: RunResult, store: ObjectStore, location: GcsLocation, day: date) -> bool:
    """Return False if another run has written one of the objects meanwhile. Raises CallFailed."""
    name, page = location.object(_FOLDER, LATEST), location.object(_FOLDER, PAGE)
    shown = store.stat(page)
    found = store.read_newer(name, 0)
    before = decode(found[0] if found else b"")
    jobs = with_day(before, result, location, day)
    if jobs != before:
        content = json.dumps({"schema": _SCHEMA, "jobs": jobs}, indent=2, sort_keys=True, ensure_ascii=False)
        written = store.swap(
            name, content.encode(), generation=found[1] if found else 0, content_type="application/json"
        )
        if written is None:
            return False
    content_type = "text/html; charset=utf-8"
    generation = shown.generation if shown else 0
    return not jobs or bool(
        store.swap(page, render_latest(jobs), generation=generation, content_type=content_type)
    )


def with_day(
    before: Mapping[str, JsonObject], result: RunResult, location: GcsLocation, day: date
) -> Mapping[str, JsonObject]:
    """Return the latest results of each job, with those green jobs of the run that are in the day's own folder."""
    jobs = dict(before)
    for job in result.jobs:
        own = location.url("versions", day.isoformat(), job.job) + "/"
        later = str(before.get(job.job, {}).get("day", "")) > day.isoformat()
        if job.verdict.green and job.output == own and not later:
            jobs[job.job] = {
                "day": day.isoformat(),
                "run": result.run,
                "output": own,
                "notebook": job.notebook,
                "message": job.verdict.message,
                "seconds": round(job.seconds, 3),
                "parameters": shown_parameters(job.parameters),
                "files": [name for name in job.files if not name.startswith("outputs/")],
            }
    return jobs


def decode(raw: bytes) -> Mapping[str, JsonObject]:
    """Return the latest results of each job in these bytes; none if they are no document of this version."""
    jobs = (readable(raw, _SCHEMA) or {}).get("jobs")
    found = jobs.items() if isinstance(jobs, dict) else ()
    return {str(job): entry for job, entry in found if isinstance(entry, dict)}


def render_latest(jobs: Mapping[str, JsonObject]) -> bytes:
    """Return the page, whose links lead to the folders of the days."""
    entries = [_entry(job, found) for job, found in sorted(jobs.items())]
    return render_page("folder.html.j2", folder="latest", entries=entries, more=0)


def _entry(job: str, found: JsonObject) -> Entry:
    def text(name: str) -> str:
        return str(found.get(name, ""))

    day = f"../{text('day')}/"
    parameters, seconds, files = (found.get(name) for name in ("parameters", "seconds", "files"))
    names = [*(map(str, files) if isinstance(files, list) else ()), "run.log", "result.json"]
    return Entry(
        job=job,
        notebook=text("notebook"),
        green=True,
        message=text("message"),
        run=text("run"),
        report=quote(f"../../results/{text('run')}/{PAGE}"),
        day=text("day"),
        seconds=seconds if isinstance(seconds, int | float) else 0.0,
        parameters=parameters if isinstance(parameters, dict) else {},
        links={**links(text("notebook"), f"{day}{job}/", names), "outputs": quote(f"{day}{PAGE}")},
    )
