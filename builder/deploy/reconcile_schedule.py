"""Brings Google's resources to what live.json says now, and removes those of locations that it left."""

from __future__ import annotations

from builder.deploy.context import DeploymentContext
from builder.deploy.live import LiveDocument, Location
from builder.deploy.reconcile import reconcile
from builder.deploy.refusals import contested
from builder.deploy.resources import Resources
from builder.deploy.steps import REMOVAL_STAGES, STAGES, Step

_TRIES = 10


def reconcile_schedule(context: DeploymentContext, *, whole: bool) -> tuple[Step, ...]:
    """Update the schedule of what is live, or all of its resources (`whole`); then remove those in other locations.

    Returns the steps that changed something. live.json is read after the promotion was written, and again at the end:
    if another promotion came in between, that one's schedule counts, whichever process is slower. The function keeps
    its code, which may be the other promotion's.
    """
    changes: list[Step] = []
    for _ in range(_TRIES):
        document, generation = context.current()
        if document is None:
            return tuple(changes)  # undeployed meanwhile
        if document.live.location not in context.locations.known():
            whole = True  # undeployed meanwhile, and promoted after that
            context.locations.add(document.live.location)
        desired = context.resources(document.live, any_code=True)
        changes += reconcile(desired, context.clients, context.log, STAGES if whole else ("schedule",))
        changes += _remove_from_others(context, document)
        if context.current()[1] == generation:
            return tuple(changes)
        whole = True
    raise contested(context.live_url)


def _remove_from_others(context: DeploymentContext, document: LiveDocument) -> list[Step]:
    here = document.live.location
    # Our own location, too: another deployment may have found nothing there yet, and have taken it out of the list.
    others = (context.locations.known() | {context.location}) - {here}
    changes = [
        step for location in sorted(others, key=str) for step in remove_resources(context, location, here)
    ]
    if others:
        context.locations.remove(others)
    return changes


def remove_resources(
    context: DeploymentContext, location: Location, kept: Location | None
) -> tuple[Step, ...]:
    """Remove the resources in a location, except those that the location to keep shares with it.

    Returns the steps taken.
    """
    stages = REMOVAL_STAGES
    if kept is not None and kept.region == location.region:
        stages = ("topic",)
    elif kept is not None and kept.topic == location.topic:
        stages = ("schedule", "function")
    return reconcile(Resources(context.names(location)), context.clients, context.log, stages)
