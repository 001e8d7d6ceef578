"""Submits one build for an event: read live.json, check the message, look for an earlier build, submit.

A function that returns acknowledges the event; one that raises gets the event again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import islice
from typing import Any

from builder.function.build import build_for, last_hour, same_event
from builder.function.calls import builds, content, create, fetch
from builder.function.event import Event, plain_id, read_event
from builder.function.google import Google, Response, connected
from builder.function.live import Live, LiveUnreadable, read_live
from builder.function.outcome import Dropped, Redeliver
from builder.options.message import MessageRefused, parameter_faults

_STALE = timedelta(hours=6)  # Pub/Sub delivers for a day, but a build that late is no longer wanted
_MAX_CLOCK_ERROR = timedelta(hours=1)  # between this machine's clock and the event's
_DEPLOYING = timedelta(minutes=10)  # a first deploy creates the topic minutes before it writes live.json

# No other event may come between the look for an event's build and its creation. The function is deployed with one
# instance and one event at a time. If Google runs a second instance for a moment, the run's own lock catches the
# duplicate.
_one_at_a_time = threading.Lock()


def handle_event(event_id: str, time: str, data: Any) -> None:
    """Submit one build for a CloudEvent, or log why not. Raises Redeliver if Pub/Sub must deliver the event again."""
    logged_id = plain_id(event_id)
    event: Event | None = None
    try:
        event = read_event(event_id, time, data)
        logged_id = event.id
        with _one_at_a_time, connected() as google:
            _handle(google, event)
    except MessageRefused as refused:
        _log("ERROR", f"No build was submitted, the message was refused: {refused}.", logged_id)
    except Redeliver as failed:
        # Without an answer, there is no time but this machine's own.
        if event is not None and _is_stale(event, datetime.now(UTC) - _MAX_CLOCK_ERROR):
            _log("ERROR", _too_late(event, failed.message).message, logged_id)
            return
        _log(failed.severity, f"{failed.message} The event will be delivered again.", logged_id)
        raise
    except Dropped as dropped:
        _log(dropped.severity, dropped.message, logged_id)


def _handle(google: Google, event: Event) -> None:
    """Handle one delivery.

    The current time is that of the API's answer: the clock of this machine may differ from the event's.
    """
    address = os.environ["NB_LIVE"]
    fetched = fetch(google, address)
    try:
        _submit(google, event, address, fetched)
    except Redeliver as failed:
        if _is_stale(event, fetched.now):
            raise _too_late(event, failed.message) from failed
        raise


def _submit(google: Google, event: Event, address: str, fetched: Response) -> None:
    live = _what_is_live(event, address, fetched)
    if problems := tuple(parameter_faults(event.message.parameters, live.declared)):
        raise MessageRefused(problems)
    earlier = next(builds(google, live, same_event(live, event)), None)
    if earlier is not None:
        _log("INFO", f"duplicate of build {earlier['id']}", event.id, build=earlier["id"])
        return
    if _is_stale(event, fetched.now):
        raise _too_late(event)
    _check_rate(google, live, fetched.now)
    made = create(google, live, build_for(live, event, address))
    _log("INFO", f"submitted build {made['id']}: {made['logUrl']}", event.id, build=made["id"])


def _is_stale(event: Event, now: datetime) -> bool:
    return now - event.when > _STALE


def _too_late(event: Event, why: str = "") -> Dropped:
    """The end of an event without a build. `why` is the failure of the last delivery."""
    message = f"No build was submitted: the event is of {event.time}, over 6 hours ago.{why and ' '}{why}"
    return Dropped("ERROR", f"{message} Publish the message again if it is still wanted.")


def _what_is_live(event: Event, address: str, fetched: Response) -> Live:
    if fetched.status == HTTPStatus.NOT_FOUND:
        if fetched.now - event.when < _DEPLOYING:
            raise Redeliver("WARNING", f"There is no {address} yet.")
        raise Dropped("ERROR", f"No build was submitted: there is no {address}; nothing is deployed.")
    try:
        return read_live(content(fetched, address))
    except LiveUnreadable as error:
        raise Redeliver("ERROR", f"{address} cannot be read: {error}. Deploy again.") from error


def _check_rate(google: Google, live: Live, now: datetime) -> None:
    """Raise Redeliver if the last hour had as many builds as the limit, because everyone who may publish can start VMs.

    The event waits for its turn, because it may come from the schedule.
    """
    limit = live.builds_per_hour
    if len(tuple(islice(builds(google, live, last_hour(live, now)), limit))) == limit:
        raise Redeliver(
            "WARNING",
            f"The last hour had {limit} builds, as many as NB_BUILDS_PER_HOUR allows. Find out who publishes to the topic, "
            "or deploy with a higher limit.",
        )


def _log(severity: str, message: str, event_id: str, **more: str) -> None:
    """Write a line to the function's log, in the structured form that Cloud Logging reads."""
    line = json.dumps({"severity": severity, "message": message, "event": event_id, **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
