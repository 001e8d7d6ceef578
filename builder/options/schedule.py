"""Options of schedules and events: cron lines, time zones, templates in parameters, events' ids and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builder.model import UTC
from builder.options.parameters import MATRIX
from builder.options.values import Unfit, matching, parameters, text

# The calendar, time zones and JSON are imported where they are needed: most runs have no event, and bad input is to be told at once.

_FIELDS = 5
# What Cloud Scheduler documents of unix-cron; cronsim knows more than that.
_VALUE = r"(?:[0-9]{1,2}|[A-Z]{3})"
_TERM = rf"(?:\*(?:/[0-9]{{1,2}})?|{_VALUE}(?:-{_VALUE}(?:/[0-9]{{1,2}})?)?)"
_FIELD = rf"{_TERM}(?:,{_TERM})*"
_EXPECTED = "expected five fields as cron has them, such as 0 6 * * 1 or 30 5 1 JAN,JUL *"

event_id = matching(
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,57}[A-Za-z0-9])?", "expected an event's id: letters, digits, - and _"
)
topic = matching(
    r"projects/[a-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}",
    "expected a topic as projects/PROJECT/topics/NAME",
)


def event(value: object) -> str:
    """An event's message, as given; see builder.options.message."""
    if not isinstance(value, str):
        raise Unfit("expected a message, such as {}")
    from builder.options.message import MessageRefused, read_message

    try:
        read_message(value)
    except MessageRefused as refused:
        together = Unfit(refused.problems[0])
        together.faults = [(None, problem) for problem in refused.problems]
        raise together from refused
    return value


def cron(value: object) -> str:
    """A schedule of five fields that is due on some day."""
    line = " ".join(text(value).split())
    fields = line.split()
    if len(fields) != _FIELDS or not all(re.fullmatch(_FIELD, part) for part in fields):
        raise Unfit(_EXPECTED)
    import datetime as dt

    from cronsim import CronSim, CronSimError  # here: only `deploy` is given a schedule

    try:
        next(CronSim(line, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)))
    except CronSimError as error:
        raise Unfit(f"{_EXPECTED}: {str(error).lower()}") from error
    except StopIteration as error:
        raise Unfit("expected a schedule that is due on some day; this one never is") from error
    return line


def time_zone(value: object) -> str:
    """A time zone's name."""
    from builder.options.day import zone

    name = text(value)
    try:
        zone(name)
    except ValueError as error:
        raise Unfit(str(error)) from error
    return UTC if name.lower() == "utc" else name


def event_time(value: object) -> str:
    """A moment in RFC 3339, as given."""
    from builder.options.day import moment

    when = text(value)
    try:
        moment(when)
    except ValueError as error:
        raise Unfit(str(error)) from error
    return when


def schedule_parameters(value: object) -> Mapping[str, Any]:
    """A mapping of parameters whose texts may hold templates; no matrix, since it is CI's that fans out."""
    given = parameters(value)
    if MATRIX in given:
        raise Unfit("a schedule gives single values; the notebook's own matrix still fans out", MATRIX)
    from builder.options.templates import mistakes

    faults = [
        (item if isinstance(item, str) else name, f"in parameter {name}: {mistake}")
        for name, item in given.items()
        for mistake in mistakes(item)
    ]
    if faults:
        together = Unfit(faults[0][1])
        together.faults = list(faults)
        raise together
    return given
