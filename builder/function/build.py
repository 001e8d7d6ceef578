"""The build for an event, and how it is found again: by its tags. Pure.

Two functions on one topic get each message under the same id, and each is to run it once: a function knows its own builds by its tag,
and its runs by a hash of its live.json's address, which no other function has.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from builder.function.event import Event
from builder.function.live import Live
from builder.model import JsonObject

_HOUR = timedelta(hours=1)
_HASH_DIGITS = 8


def build_for(live: Live, event: Event, address: str) -> JsonObject:
    """The build that is live, with the event; nothing else of it can come from outside. `address` is live.json's."""
    (step,) = live.build["steps"]
    own_id = f"{event.id}-{hashlib.sha256(address.encode()).hexdigest()[:_HASH_DIGITS]}"
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
    """The filter of builds that this function submitted for this event."""
    return f'tags="{live.tag}" AND tags="{_tag(event)}"'


def last_hour(live: Live, now: datetime) -> str:
    """The filter of builds that this function submitted in the hour before now."""
    since = (now.astimezone(UTC) - _HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'tags="{live.tag}" AND create_time>"{since}"'


def _tag(event: Event) -> str:
    return f"event-{event.id}"


def _literal(text: str) -> str:
    """The text as Cloud Build leaves it alone: a dollar sign begins a substitution, two are one dollar sign."""
    return text.replace("$", "$$")
