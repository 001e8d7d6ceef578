"""`deploy --rollback` and `--undeploy`: back to what was live before, or to nothing."""

from __future__ import annotations

from builder.deploy import live as documents
from builder.deploy.converge import Change, converge
from builder.deploy.live import Live, LiveDocument, Place
from builder.deploy.promotion import described, writing
from builder.deploy.settle import settle, vacate
from builder.deploy.target import Outcome, Target
from builder.errors import EnvironmentFailed, InputRefused, ProjectSetup


def roll_back(target: Target) -> Outcome:
    """Put live what was live before. Raises InputRefused where there is nothing, or its archive is gone."""
    standing, generation = target.standing()
    document = _earlier(target, standing)
    target.say(
        f"leaving {described(standing.live) if standing else ''}; going back to {described(document.live)}"
    )
    _check_archive(target, document.live)
    target.places.enter(document.live.place)
    changes = converge(target.resources(document.live), target.doors, target.say, schedule=False)
    with writing(target, document.live, changes):
        written = target.write(document, generation)
    settle(target, whole=not written)
    if not written:
        raise EnvironmentFailed(
            f"{target.live_url} was written by another deployment meanwhile; it was not rolled back.",
            reason="live_contested",
            advice="Look at `deploy --status`, and run again if it is still to be rolled back.",
        )
    return Outcome(
        changed=True, message=f"{target.deployment.function} is back at {described(document.live)}."
    )


def _earlier(target: Target, standing: LiveDocument | None) -> LiveDocument:
    if standing is not None and standing.earlier:
        return standing.rolled_back()
    why = "nothing is live" if standing is None else "nothing was live before this"
    raise InputRefused(
        f"{target.live_url}: {why}.",
        reason="nothing_earlier",
        advice="`deploy --status` shows what is live; `deploy` puts something live.",
    )


def _check_archive(target: Target, live: Live) -> None:
    found = target.store.stat(live.archive.object)
    if found is None or str(found.generation) != live.archive.generation:
        raise InputRefused(
            f"gs://{target.store.bucket}/{live.archive.object} is not there any more at generation {live.archive.generation}: "
            "what was live before cannot run again.",
            reason="archive_gone",
            advice="Deploy that commit again.",
        )


def undeploy(target: Target) -> Outcome:
    """Remove schedules, functions and topics wherever there are some, then live.json; archives and results stay."""
    found = target.store.read_newer(target.live, 0)
    places = target.places.known() | {target.place, *_told_place(target, found[0] if found else None)}
    changes: list[Change] = []
    for place in sorted(places, key=str):
        changes += vacate(target, place, None)
    there = found is not None and target.store.delete(target.live, generation=found[1])
    target.store.delete(documents.places_object(target.options.location, target.deployment.function))
    if not (changes or there):
        return Outcome(
            changed=False, message=f"nothing changed: {target.deployment.function} is not deployed."
        )
    return Outcome(
        changed=True,
        message=f"{target.deployment.function} is deployed no more; its archives and results stay.",
    )


def _told_place(target: Target, raw: bytes | None) -> tuple[Place, ...]:
    """Where live.json says that it is; nothing where this version cannot read it, which must not keep it there."""
    if raw is None:
        return ()
    try:
        document = documents.decode(raw, target.live_url)
    except ProjectSetup:
        return ()
    target.check_project(document)
    return (document.live.place,)
