"""The build for an event, and the filters that find it again by its tags. Pure.

Two functions on one topic receive each message with the same ID, and each must run it once. A tag identifies the
builds of a function, and a hash of the address of its live.json identifies its runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from builder.function.event import Event
from builder.function.live import Live
from builder.model import JsonObject
from builder.options.message import run_event_id

_HOUR = timedelta(hours=1)


def build_for(live: Live, event: Event, address: str) -> JsonObject:
    """The live build with the event, which can change nothing else in it. `address` is that of live.json."""
    (step,) = live.build["steps"]
    own_id = run_event_id(event.id, address)
    given = (
        ("NB_RUN_ID", f"event-{own_id}"),
        ("NB_EVENT", event.raw),
        ("NB_EVENT_ID", own_id),
        ("NB_EVENT_TIME", event.time),
    )
    env = [*step.get("env", ()), *(f"{name}={_literal(value)}" for name, value in given)]
    return {
        **live.build,
        "steps": [{**step, "env": env}],
        "tags": [*live.build["tags"], _tag(event)],
    }


def same_event(live: Live, event: Event) -> str:
    """The filter for builds that this function submitted for this event."""
    return f'tags="{live.tag}" AND tags="{_tag(event)}"'


def last_hour(live: Live, now: datetime) -> str:
    """The filter for builds that this function submitted in the hour before `now`."""
    since = (now.astimezone(UTC) - _HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'tags="{live.tag}" AND create_time>"{since}"'


def _tag(event: Event) -> str:
    return f"event-{event.id}"


def _literal(text: str) -> str:
    """The text with each dollar sign doubled, because Cloud Build takes one for a substitution."""
    return text.replace("$", "$$")
