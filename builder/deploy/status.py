"""`deploy --status`: what is live and how it stands, told in lines; reads only."""

from __future__ import annotations

from collections.abc import Iterator

from builder.deploy.converge import look
from builder.deploy.live import Live, LiveDocument
from builder.deploy.promotion import Target, described
from builder.deploy.resources import Status, differences


def status_lines(target: Target) -> Iterator[str]:
    """What is live, since when, what it was proven with, and what is not as a deployment would make it."""
    standing, _ = target.standing()
    if standing is None:
        yield f"{target.live_url} is not there: nothing is live"
        return
    yield from _document_lines(standing)
    wanted = target.resources(standing.live)
    actual = look(wanted.names, target.doors)
    yield from _resource_lines(actual)
    found = differences(actual, wanted)
    yield from (f"differs: {line}" for line in found)
    yield "`deploy` mends that" if found else "function, topic and schedule are as they were deployed"


def _document_lines(standing: LiveDocument) -> Iterator[str]:
    live = standing.live
    yield f"live: {described(live)}"
    yield f"  archive {live.archive.object}, generation {live.archive.generation}"
    yield f"  builder {live.builder.version}, {live.builder.image}"
    yield from _notebook_lines(live)
    schedule = live.schedule
    yield f"  schedule {schedule.cron or 'none'} ({schedule.time_zone}), at most {live.builds_per_hour} builds an hour"
    for number, earlier in enumerate(standing.earlier, 1):
        yield f"earlier {number}: {described(earlier)}"


def _notebook_lines(live: Live) -> Iterator[str]:
    for notebook in live.notebooks:
        yield f"  {notebook.path}: {len(notebook.jobs)} job{'s' if len(notebook.jobs) != 1 else ''}"
        for job in notebook.jobs:
            yield f"    {job.job}: green in run {job.run} on {job.image}, {len(job.packages)} packages beside the image's"
        for name, template in live.schedule.parameters.get(notebook.path, {}).items():
            yield f"    {name} = {template}"


def _resource_lines(actual: Status) -> Iterator[str]:
    function, job = actual.function, actual.job
    yield f"topic: {'there' if actual.topic else 'missing'}"
    yield f"function: {function.state if function else 'missing'}"
    if function:
        yield from (f"  {problem}" for problem in function.problems)
    yield f"schedule: {f'{job.state}, {job.config.cron} ({job.config.time_zone})' if job else 'none'}"
