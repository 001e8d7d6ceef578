"""`deploy --status`: what is live, its resources, and the steps that `deploy` would carry out. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from builder.deploy.context import DeploymentContext
from builder.deploy.image import is_gone
from builder.deploy.live import Live, LiveDocument, Location
from builder.deploy.names import Names, is_our_function, is_our_job, is_our_topic
from builder.deploy.promotion import described
from builder.deploy.reconcile import look
from builder.deploy.resources import Resources, Status
from builder.deploy.steps import steps
from builder.deploy_ports import JobState
from builder.errors import ProjectSetup
from builder.model import LIVE_TAG
from builder.options.day import moment, zone
from builder.options.templates import TemplateMistake, render


def status_lines(context: DeploymentContext) -> Iterator[str]:
    """The lines of `deploy --status`: the live document, the current resources, and the steps to restore them."""
    current, _ = context.current()
    if current is None:
        yield f"{context.live_url} does not exist, so nothing is live"
    else:
        yield from _document_lines(current)
        if context.is_archive_gone(current.live.archive):
            yield "differs: the archive is missing or was replaced, so scheduled builds fail; run `deploy` again"
        if is_gone(current.live.builder.image, context.clients.registry):
            yield "differs: the builder's image is missing, so scheduled builds fail; run `deploy` again"
    here = current.live.location if current else context.location
    actual = look(context.names(here), context.clients)
    yield from _resource_lines(actual, context.names(here))
    if actual.job is not None:
        yield from next_run_lines(actual.job, current.live if current else None)
    yield _last_build(context, here)
    yield from (
        f"left in {location.region}, topic {location.topic}"
        for location in sorted(context.locations.known() - {here}, key=str)
    )
    if current is not None:
        yield from _step_lines(actual, context.resources(current.live))


def _step_lines(current: Status, desired: Resources) -> Iterator[str]:
    """The steps that the next `deploy` carries out to restore what is live."""
    try:
        found = steps(current, desired)
    except ProjectSetup as refusal:
        yield f"`deploy` would refuse: {refusal.message}"
        return
    yield from (f"`deploy` would {step}" for step in found)
    if not found:
        yield "function, topic and schedule match what is live"


def _last_build(context: DeploymentContext, location: Location) -> str:
    tag = LIVE_TAG + context.deployment.function
    build = context.clients.builds.newest([tag], location.region)
    return f"last build: {f'{build.status}, {build.id} of {build.created}' if build else 'none'} (tag {tag})"


def _document_lines(current: LiveDocument) -> Iterator[str]:
    live = current.live
    yield f"live: {described(live)}"
    yield f"  archive {live.archive.object}, generation {live.archive.generation}"
    yield f"  builder {live.builder.version}, {live.builder.image}"
    yield from _notebook_lines(live)
    schedule = live.schedule
    yield f"  schedule {schedule.cron or 'none'} ({schedule.time_zone}), at most {live.builds_per_hour} builds an hour"
    for number, earlier in enumerate(current.earlier, 1):
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


def next_run_lines(job: JobState, live: Live | None) -> Iterator[str]:
    """The time of the next scheduled run in the schedule's time zone, and the values that its message `{}` stands for.

    Parameters that the schedule does not compute have the values of CI, and are not printed.
    """
    if job.state != "ENABLED":
        yield f"next run: none, because the schedule is {job.state}"
        return
    if not job.next:
        yield "next run: not known yet; run `deploy --status` again in a minute"
        return
    when = moment(job.next).astimezone(zone(job.config.time_zone))
    yield f"next run: {when:%Y-%m-%d %H:%M} ({job.config.time_zone})"
    for path, templates in (live.schedule.parameters if live else {}).items():
        for name, template in templates.items():
            yield f"  {path}: {name} = {_value(template, when.date())}"


def _value(template: Any, day: date) -> str:
    try:
        return json.dumps(render(template, day), ensure_ascii=False)
    except TemplateMistake as mistake:
        return f"no value: it {mistake}"


def _whose(*, ours: bool) -> str:
    return "" if ours else ", not made by this deployment"


def _schedule(job: JobState) -> str:
    last = f"last published {job.attempted}" if job.attempted else "never published yet"
    failed = f", which failed: {job.failure}" if job.failure else ""
    return f"{job.state}, {job.config.cron} ({job.config.time_zone}), {last}{failed}"
