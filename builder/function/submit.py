"""An event's way to its build: what is live, may it be, is it new, submit. To return is to acknowledge the event."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from builder.function.build import build_for, last_hour, same_event
from builder.function.calls import builds, content, create, fetch
from builder.function.event import Event, plain_id, read_event
from builder.function.google import Google, connected
from builder.function.live import Live, LiveUnreadable, read_live
from builder.function.outcome import Dropped, Failed
from builder.options.message import MessageRefused, unfit_parameters

_STALE = timedelta(
    hours=6
)  # Pub/Sub goes on delivering for a day; a build that late is not what was asked for
_DEPLOYING = timedelta(minutes=10)  # a first deploy writes live.json last, minutes after the topic is there
_NOT_FOUND = 404

# To look for an event's build and to create it are two calls, and nothing may come between them. Google holds an instance to one event
# at a time as it is deployed; another that runs beside it for a moment is caught by the run's own lock.
_one_at_a_time = threading.Lock()


def answer(event_id: str, time: str, data: Any) -> None:
    """Submit one build for a CloudEvent of these parts, or say in the log why not. Raises Failed: deliver it again."""
    told = plain_id(event_id)
    try:
        event = read_event(event_id, time, data)
        with _one_at_a_time, connected() as google:
            _submit(google, event)
    except MessageRefused as refused:
        _tell("ERROR", f"No build was submitted, the message was refused: {refused}.", told)
    except Failed as failed:
        _tell(failed.severity, failed.message, told)
        raise
    except Dropped as dropped:
        _tell(dropped.severity, dropped.message, told)


def _submit(google: Google, event: Event) -> None:
    live, now = _what_is_live(google, event)
    if problems := tuple(unfit_parameters(event.message.parameters, live.declared)):
        raise MessageRefused(problems)
    earlier = next(builds(google, live, same_event(event)), None)
    if earlier is not None:
        _tell("INFO", f"duplicate of build {earlier['id']}", event.id, build=earlier["id"])
        return
    _check_rate(google, live, now)
    made = create(google, live, build_for(live, event))
    _tell("INFO", f"submitted build {made['id']}: {made['logUrl']}", event.id, build=made["id"])


def _what_is_live(google: Google, event: Event) -> tuple[Live, datetime]:
    """What is live, and what time it is. Never by this machine's clock, which nobody sets against the event's."""
    address = os.environ["NB_LIVE"]
    fetched = fetch(google, address)
    age = fetched.now - event.when
    if age > _STALE:
        raise Dropped("WARNING", f"No build was submitted: the event is of {event.time}, over 6 hours ago.")
    if fetched.status == _NOT_FOUND:
        if age < _DEPLOYING:
            raise Failed("WARNING", f"There is no {address} yet. The event will be delivered again.")
        raise Dropped("ERROR", f"No build was submitted: there is no {address}; nothing is deployed.")
    try:
        return read_live(content(fetched, address)), fetched.now
    except LiveUnreadable as error:
        raise Failed("ERROR", f"{address} cannot be read: {error}. Deploy again.") from error


def _check_rate(google: Google, live: Live, now: datetime) -> None:
    """Raise Dropped where the hour has had its builds: whoever may publish to the topic can start VMs."""
    limit = live.builds_per_hour
    if len(tuple(islice(builds(google, live, last_hour(live, now)), limit))) == limit:
        raise Dropped(
            "ERROR",
            f"No build was submitted: the last hour had {limit}, as many as NB_BUILDS_PER_HOUR allows. Find out who "
            "publishes to the topic, or deploy with a higher limit.",
        )


def _tell(severity: str, message: str, event_id: str, **more: str) -> None:
    """A line of the function's log, in the form that Cloud Logging takes apart."""
    line = json.dumps({"severity": severity, "message": message, "event": event_id, **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
