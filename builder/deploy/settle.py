"""Brings Google's resources to what live.json says by now, and removes those of places that it left."""

from __future__ import annotations

from builder.deploy.converge import Change, converge, put_schedule, remove, remove_topic
from builder.deploy.live import LiveDocument, Place
from builder.deploy.refusals import contested
from builder.deploy.target import Target

_TRIES = 10


def settle(target: Target, *, whole: bool) -> tuple[Change, ...]:
    """Schedule what is live, or make all of it (`whole`) as it needs it; then remove what is elsewhere. Returns the changes.

    The document is read after the promotion was written, and again at the end: where another promotion came in between, that one's
    schedule counts, whichever of the two processes is slower. The function's code is left as it stands then: it is the other's, perhaps.
    """
    changes: list[Change] = []
    for _ in range(_TRIES):
        document, generation = target.standing()
        if document is None:
            return tuple(changes)  # undeployed meanwhile
        if document.live.place not in target.places.known():
            whole = True  # undeployed while we were at it
            target.places.enter(document.live.place)
        wanted = target.resources(document.live)
        changes += (
            converge(wanted.with_any_code(), target.doors, target.say)
            if whole
            else put_schedule(wanted, target.doors, target.say)
        )
        changes += _leave_others(target, document)
        if target.standing()[1] == generation:
            return tuple(changes)
        whole = True
    raise contested(target.live_url)


def _leave_others(target: Target, document: LiveDocument) -> list[Change]:
    here = document.live.place
    # Our own, too: who was first here may have found nothing there yet, and have taken it out.
    others = (target.places.known() | {target.place}) - {here}
    changes = [change for place in sorted(others, key=str) for change in vacate(target, place, here)]
    if others:
        target.places.leave(others)
    return changes


def vacate(target: Target, place: Place, kept: Place | None) -> tuple[Change, ...]:
    """Remove what there is at a place, but for what the place that is kept shares with it."""
    names = target.names(place)
    if kept is not None and kept.region == place.region:
        # The function and the schedule are one and the same; it is the topic that is another.
        return remove_topic(names, target.doors, target.say)
    shared = kept is not None and kept.topic == place.topic
    return remove(names, target.doors, target.say, keep_topic=shared)
