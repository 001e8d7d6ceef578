"""Writes index.html of a folder that contains jobs' folders, such as `versions/<date>/`.

The page lists all results in the folder, from any run. Each notebook's page links to `../index.html`: this page, or in
`results/<run>/` the report of the run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from builder.act.folder_results import read_results
from builder.act.result import RunResult
from builder.model import GcsLocation, JsonObject
from builder.ports import CallFailed, ObjectStore
from builder.report.page import render_page

PAGE = "index.html"
MAX_JOBS = 500  # that a page shows
MAX_OUTPUTS = 200  # of one job
_TRIES = 5  # other runs may write the page at the same time
# A job's folder, or one in a folder of values, whose name has an equals sign. `outputs/` of a job can have any name.
_RESULT = re.compile(r"((?:[^/]*=[^/]*/)?[^/=]+/)result\.json")
_LINKS = {".html": "page", "-clean.html": "page without code", ".ipynb": "executed notebook"}


@dataclass(frozen=True)
class Entry:
    """The results of one job, from its result.json. All addresses are relative to the page."""

    job: str
    notebook: str
    green: bool
    message: str
    run: str
    report: str
    day: str
    seconds: float
    parameters: JsonObject
    links: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)


def write_folder_pages(
    result: RunResult, store: ObjectStore, location: GcsLocation, log: Callable[[str], None]
) -> None:
    """Write the page of each folder in which this run published jobs, but that of its own report.

    A failure is logged. No verdict depends on a page.
    """
    for folder in folders(result, location):
        try:
            if not _write(store, location, folder):
                log(
                    f"warning: {location.url(folder, PAGE)} was not updated, because other runs changed it at each try"
                )
        except CallFailed as failure:
            log(f"warning: {location.url(folder, PAGE)} could not be written: {failure}")


def folders(result: RunResult, location: GcsLocation) -> Sequence[str]:
    """Return the folders below the location whose pages this run changes."""
    base = location.url() + "/"
    parents = {
        posixpath.dirname(job.output.removeprefix(base).rstrip("/")) for job in result.jobs if job.output
    }
    days = {"/".join(parent.split("/")[:2]) for parent in parents if parent.startswith("versions/")}
    return sorted((parents | days) - {f"results/{result.run}"})


def _write(store: ObjectStore, location: GcsLocation, folder: str) -> bool:
    """Write the page of a folder, again if another run has written it meanwhile: its results may not be on ours.

    Returns False if other runs wrote it at each try.
    """
    page = location.object(folder, PAGE)
    for _ in range(_TRIES):
        seen = store.stat(page)
        content = _render(store, location, folder)
        if content is None:
            return True
        generation = seen.generation if seen else 0
        if store.swap(page, content, generation=generation, content_type="text/html; charset=utf-8"):
            return True
    return False


def _render(store: ObjectStore, location: GcsLocation, folder: str) -> bytes | None:
    """Return the page of what the folder holds now; None if it holds no results."""
    prefix = location.object(folder) + "/"
    names = [item.name.removeprefix(prefix) for item in store.list(prefix)]
    found = [match[1] for name in names if (match := _RESULT.fullmatch(name))]
    documents = read_results(store, [prefix + job for job in found[:MAX_JOBS]])
    up = "../" * (folder.count("/") + 1)
    entries = [
        _entry(job, document, [name.removeprefix(job) for name in names if name.startswith(job)], up)
        for job, document in zip(found, documents, strict=False)
        if document is not None
    ]
    entries.sort(key=lambda entry: entry.green)  # red ones first
    more = max(0, len(found) - MAX_JOBS)
    title = folder.removeprefix("versions/")
    return render_page("folder.html.j2", folder=title, entries=entries, more=more) if entries else None


def _entry(folder: str, document: JsonObject, names: Sequence[str], up: str) -> Entry:
    """Return what the page shows of a job's folder. `names` are relative to it; `up` leads to the location."""
    run, parameters, seconds = str(document.get("run")), document.get("parameters"), document.get("seconds")
    outputs = [name for name in names if name.startswith("outputs/")][:MAX_OUTPUTS]
    return Entry(
        job=folder.rstrip("/"),
        notebook=str(document.get("notebook")),
        green=document.get("verdict") == "green",
        message=str(document.get("message")),
        run=run,
        report=quote(f"{up}results/{run}/{PAGE}"),
        day=str(document.get("day", "")),
        seconds=seconds if isinstance(seconds, int | float) else 0.0,
        parameters=parameters if isinstance(parameters, dict) else {},
        links=links(str(document.get("notebook")), folder, names),
        outputs={name: quote(folder + name) for name in outputs},
    )


def links(notebook: str, folder: str, names: Sequence[str]) -> Mapping[str, str]:
    """Return the addresses of the files that a job's folder has, by what they are. `folder` ends with a slash."""
    stem = notebook.rpartition("/")[2].removesuffix(".ipynb")
    files = {shown: f"{stem}{suffix}" for suffix, shown in _LINKS.items()}
    files |= {"log": "run.log", "result.json": "result.json"}
    return {shown: quote(folder + name) for shown, name in files.items() if name in names}
