"""The build for an event, and how it is found again: by its tags. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from builder.function.event import Event
from builder.function.live import Live
from builder.model import JsonObject

_HOUR = timedelta(hours=1)


def event_name(event: Event) -> str:
    """The tag of the event's build, and the id of its run."""
    return f"event-{event.id}"


def build_for(live: Live, event: Event) -> JsonObject:
    """The build that is live, with the event; nothing else of it can come from outside."""
    (step,) = live.build["steps"]
    given = (
        ("NB_RUN_ID", event_name(event)),
        ("NB_EVENT", event.raw),
        ("NB_EVENT_ID", event.id),
        ("NB_EVENT_TIME", event.time),
    )
    env = [*step.get("env", ()), *(f"{name}={_literal(value)}" for name, value in given)]
    return {
        **live.build,
        "steps": [{**step, "env": env}],
        "tags": [*live.build["tags"], event_name(event)],
    }


def same_event(event: Event) -> str:
    """The filter of builds that were submitted for this event."""
    return f'tags="{event_name(event)}"'


def last_hour(live: Live, now: datetime) -> str:
    """The filter of builds that the function submitted in the hour before now."""
    since = (now.astimezone(UTC) - _HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'tags="{live.tag}" AND create_time>"{since}"'


def _literal(text: str) -> str:
    """The text as Cloud Build leaves it alone: a dollar sign begins a substitution, two are one dollar sign."""
    return text.replace("$", "$$")
