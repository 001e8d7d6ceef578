"""`deploy --status`: what is live and how it stands, told in lines; reads only."""

from __future__ import annotations

from collections.abc import Iterator

from builder.deploy.converge import look
from builder.deploy.live import Live, LiveDocument, Place
from builder.deploy.names import Names, is_our_function, is_our_job, is_our_topic
from builder.deploy.ports import JobState
from builder.deploy.promotion import described
from builder.deploy.resources import Status, differences
from builder.deploy.target import Target
from builder.model import LIVE_TAG


def status_lines(target: Target) -> Iterator[str]:
    """What is live, since when, what it was proven with, and what is not as a deployment would make it."""
    standing, _ = target.standing()
    if standing is None:
        yield f"{target.live_url} is not there: nothing is live"
    else:
        yield from _document_lines(standing)
        if target.store.stat(standing.live.archive.object) is None:
            yield "differs: the archive is gone, and no build can run it"
    here = standing.live.place if standing else target.place
    actual = look(target.names(here), target.doors)
    yield from _resource_lines(actual, target.names(here))
    yield _last_build(target, here)
    yield from (
        f"left in {place.region}, topic {place.topic}"
        for place in sorted(target.places.known() - {here}, key=str)
    )
    if standing is not None:
        found = differences(actual, target.resources(standing.live))
        yield from (f"differs: {line}" for line in found)
        yield "`deploy` mends that" if found else "function, topic and schedule are as they were deployed"


def _last_build(target: Target, place: Place) -> str:
    tag = LIVE_TAG + target.deployment.function
    build = target.doors.builds.newest(tag, place.region)
    return f"last build: {f'{build.status}, {build.id} of {build.created}' if build else 'none'} (tag {tag})"


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


def _resource_lines(actual: Status, names: Names) -> Iterator[str]:
    topic, function, job = actual.topic, actual.function, actual.job
    yield f"topic: {'there' if topic else 'missing'}{_whose(ours=topic is None or is_our_topic(topic, names))}"
    yield (
        f"function: {function.state if function else 'missing'}"
        f"{_whose(ours=function is None or is_our_function(function, names))}"
    )
    if function:
        yield from (f"  {problem}" for problem in function.problems)
    yield f"schedule: {_schedule(job) if job else 'none'}{_whose(ours=job is None or is_our_job(job, names))}"


def _whose(*, ours: bool) -> str:
    return "" if ours else ", not made by this deployment"


def _schedule(job: JobState) -> str:
    last = f"last published {job.attempted}" if job.attempted else "never published yet"
    failed = f", which failed: {job.failure}" if job.failure else ""
    return f"{job.state}, {job.config.cron} ({job.config.time_zone}), {last}{failed}"
