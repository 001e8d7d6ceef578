"""`deploy --rollback` makes the previous promotion live again, and `deploy --undeploy` removes the deployment."""

from __future__ import annotations

from http import HTTPStatus

from builder.deploy import live as documents
from builder.deploy.context import DeploymentContext
from builder.deploy.image import is_gone
from builder.deploy.live import Live, LiveDocument, Location
from builder.deploy.promotion import described, explain_write_errors, prepare_resources
from builder.deploy.reconcile_schedule import reconcile_schedule, remove_resources
from builder.deploy.steps import Step
from builder.errors import EnvironmentFailed, InputRefused, ProjectSetup
from builder.ports import CallFailed


def roll_back(context: DeploymentContext) -> str:
    """Make the previous promotion live. Returns the sentence that reports it.

    Raises InputRefused if there is none, or if its archive or its image is gone.
    """
    current, generation = context.current()
    document = _earlier(context, current)
    context.log(
        f"leaving {described(current.live) if current else ''}; going back to {described(document.live)}"
    )
    _check_archive(context, document.live)
    _check_image(context, document.live)
    changes = prepare_resources(context, document.live)
    with explain_write_errors(context, document.live, changes):
        written = context.write(document, generation)
    reconcile_schedule(context, whole=not written)
    if not written:
        raise _overtaken(context, "rollback")
    return f"{context.deployment.function} is back at {described(document.live)}."


def _earlier(context: DeploymentContext, current: LiveDocument | None) -> LiveDocument:
    if current is not None and current.earlier:
        return current.rolled_back()
    why = "nothing is live" if current is None else "nothing was live before this"
    raise InputRefused(
        f"{context.live_url}: {why}.",
        reason="nothing_earlier",
        advice="`deploy --status` shows what is live; `deploy` puts something live.",
    )


def _check_archive(context: DeploymentContext, live: Live) -> None:
    if context.is_archive_gone(live.archive):
        raise InputRefused(
            f"gs://{context.store.bucket}/{live.archive.object} does not exist any more at generation {live.archive.generation}: "
            "the previous promotion cannot run again.",
            reason="archive_gone",
            advice="Deploy that commit again.",
        )


def _check_image(context: DeploymentContext, live: Live) -> None:
    if is_gone(live.builder.image, context.clients.registry):
        raise InputRefused(
            f"There is no image {live.builder.image} any more: the previous promotion cannot run again.",
            reason="image_gone",
            advice="Deploy that commit again, or push the image again.",
        )


def undeploy(context: DeploymentContext) -> str:
    """Remove schedules, functions and topics in every location, then live.json. Archives and results stay.

    Returns the sentence that reports it. Raises EnvironmentFailed if another deployment writes live.json meanwhile.
    """
    found = context.store.read_newer(context.live, 0)
    locations = context.locations.known() | {
        context.location,
        *_recorded_location(context, found[0] if found else None),
    }
    changes: list[Step] = []
    for location in sorted(locations, key=str):
        changes += remove_resources(context, location, None)
    there = found is not None and _delete_live(context, found[1])
    context.store.delete(
        documents.locations_object(context.options.gcs_location, context.deployment.function)
    )
    if not (changes or there):
        return f"nothing changed: {context.deployment.function} is not deployed."
    return f"{context.deployment.function} is no longer deployed; its archives and results stay."


def _delete_live(context: DeploymentContext, generation: int) -> bool:
    """Delete live.json; False if it does not exist. Raises EnvironmentFailed if another deployment has written it."""
    try:
        return context.store.delete(context.live, generation=generation)
    except CallFailed as failure:
        if failure.http_status != HTTPStatus.PRECONDITION_FAILED:
            raise
        raise _overtaken(context, "undeploy") from failure


def _overtaken(context: DeploymentContext, action: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{context.live_url} was written by another deployment in the meantime, so `deploy --{action}` did not change it.",
        reason="live_contested",
        advice=f"Look at `deploy --status`, and run `deploy --{action}` again if you still want it.",
    )


def _recorded_location(context: DeploymentContext, raw: bytes | None) -> tuple[Location, ...]:
    """The location in live.json; nothing if this version cannot read it, so that it can be removed."""
    if raw is None:
        return ()
    try:
        document = documents.decode(raw, context.live_url)
    except ProjectSetup:
        return ()
    context.check_project(document)
    return (document.live.location,)
