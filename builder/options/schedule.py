"""Types of the options of schedules and events: cron lines, time zones, templates in parameters, events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builder.model import UTC
from builder.options.parameters import MATRIX, PARAMETERS, parse_parameters
from builder.options.values import TEXT, InvalidValue, ValueType, matching, parse_text, refuse

# Calendar, time zones and JSON are imported where they are used: most runs need none of them.

_FIELDS = 5
# The part of unix-cron that Cloud Scheduler documents; cronsim accepts more.
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


def _parse_event(value: object) -> str:
    """Return an event's message as it is given; see builder.options.message."""
    if not isinstance(value, str):
        raise InvalidValue("expected a message, such as {}")
    from builder.options.message import MessageRefused, read_message

    try:
        read_message(value)
    except MessageRefused as refused:
        refuse((None, problem) for problem in refused.problems)
    return value


def _parse_cron(value: object) -> str:
    """Return a schedule of five fields. CronSim refuses one that is never due."""
    line = " ".join(parse_text(value).split())
    fields = line.split()
    if len(fields) != _FIELDS or not all(re.fullmatch(_FIELD, part) for part in fields):
        raise InvalidValue(_EXPECTED)
    import datetime as dt

    from cronsim import CronSim, CronSimError  # here: only `deploy` needs it

    try:
        CronSim(line, dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    except CronSimError as error:
        raise InvalidValue(f"{_EXPECTED}: {str(error).lower()}") from error
    return line


def _parse_time_zone(value: object) -> str:
    """Return a time zone's name."""
    from builder.options.day import zone

    name = parse_text(value)
    try:
        zone(name)
    except ValueError as error:
        raise InvalidValue(str(error)) from error
    return UTC if name.lower() == "utc" else name


def _parse_event_time(value: object) -> str:
    """Return a moment in RFC 3339, as it is given."""
    from builder.options.day import moment

    when = parse_text(value)
    try:
        moment(when)
    except ValueError as error:
        raise InvalidValue(str(error)) from error
    return when


def _parse_schedule_parameters(value: object) -> Mapping[str, Any]:
    """Return parameters whose texts may hold templates. Only NB_PARAMETERS may have a matrix."""
    given = parse_parameters(value)
    if MATRIX in given:
        raise InvalidValue("a schedule gives single values; the notebook's own matrix still fans out", MATRIX)
    from builder.options.templates import mistakes

    refuse(
        (item if isinstance(item, str) else name, f"in parameter {name}: {mistake}")
        for name, item in given.items()
        for mistake in mistakes(item)
    )
    return given


event = ValueType(_parse_event, TEXT)
cron = ValueType(_parse_cron, TEXT)
time_zone = ValueType(_parse_time_zone, TEXT)
event_time = ValueType(_parse_event_time, TEXT)
schedule_parameters = ValueType(_parse_schedule_parameters, PARAMETERS, dict)
