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
from builder.function.google import Answer, Google, connected
from builder.function.live import Live, LiveUnreadable, read_live
from builder.function.outcome import Dropped, Redeliver
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
    """Submit one build for a CloudEvent of these parts, or say in the log why not. Raises Redeliver: deliver it again."""
    told = plain_id(event_id)
    try:
        event = read_event(event_id, time, data)
        with _one_at_a_time, connected() as google:
            _handle(google, event)
    except MessageRefused as refused:
        _tell("ERROR", f"No build was submitted, the message was refused: {refused}.", told)
    except Redeliver as failed:
        _tell(failed.severity, f"{failed.message} The event will be delivered again.", told)
        raise
    except Dropped as dropped:
        _tell(dropped.severity, dropped.message, told)


def _handle(google: Google, event: Event) -> None:
    """One delivery. Its time is the API's, never this machine's, whose clock nobody sets against the event's."""
    address = os.environ["NB_LIVE"]
    fetched = fetch(google, address)
    try:
        _submit(google, event, address, fetched)
    except Redeliver as failed:
        if _is_stale(event, fetched.now):
            raise _too_late(event, failed.message) from failed
        raise


def _submit(google: Google, event: Event, address: str, fetched: Answer) -> None:
    live = _what_is_live(event, address, fetched)
    if problems := tuple(unfit_parameters(event.message.parameters, live.declared)):
        raise MessageRefused(problems)
    earlier = next(builds(google, live, same_event(live, event)), None)
    if earlier is not None:
        _tell("INFO", f"duplicate of build {earlier['id']}", event.id, build=earlier["id"])
        return
    if _is_stale(event, fetched.now):
        raise _too_late(event)
    _check_rate(google, live, fetched.now)
    made = create(google, live, build_for(live, event, address))
    _tell("INFO", f"submitted build {made['id']}: {made['logUrl']}", event.id, build=made["id"])


def _is_stale(event: Event, now: datetime) -> bool:
    return now - event.when > _STALE


def _too_late(event: Event, why: str = "") -> Dropped:
    """The end of an event that nothing came of; `why` is what the last delivery failed by."""
    said = f"No build was submitted: the event is of {event.time}, over 6 hours ago.{why and ' '}{why}"
    return Dropped("ERROR", f"{said} Publish the message again if it is still wanted.")


def _what_is_live(event: Event, address: str, fetched: Answer) -> Live:
    if fetched.status == _NOT_FOUND:
        if fetched.now - event.when < _DEPLOYING:
            raise Redeliver("WARNING", f"There is no {address} yet.")
        raise Dropped("ERROR", f"No build was submitted: there is no {address}; nothing is deployed.")
    try:
        return read_live(content(fetched, address))
    except LiveUnreadable as error:
        raise Redeliver("ERROR", f"{address} cannot be read: {error}. Deploy again.") from error


def _check_rate(google: Google, live: Live, now: datetime) -> None:
    """Raise Redeliver where the hour has had its builds: whoever may publish to the topic can start VMs.

    The event waits for its turn, since it may be the schedule's own.
    """
    limit = live.builds_per_hour
    if len(tuple(islice(builds(google, live, last_hour(live, now)), limit))) == limit:
        raise Redeliver(
            "WARNING",
            f"The last hour had {limit} builds, as many as NB_BUILDS_PER_HOUR allows. Find out who publishes to the topic, "
            "or deploy with a higher limit.",
        )


def _tell(severity: str, message: str, event_id: str, **more: str) -> None:
    """A line of the function's log, in the form that Cloud Logging takes apart."""
    line = json.dumps({"severity": severity, "message": message, "event": event_id, **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
