"""Which day an event belongs to: its own time's, in the schedule's time zone. Pure."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from builder.model import UTC


def zone(name: str) -> ZoneInfo:
    """The time zone of this name in the tz database; "utc" is UTC, as for Cloud Scheduler. Raises ValueError."""
    try:
        return ZoneInfo(UTC if name.lower() == "utc" else name)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ) as error:  # OSError: a folder's name, such as "Europe"
        raise ValueError("expected a time zone of the tz database, such as Europe/Paris") from error


def moment(text: str) -> datetime:
    """A time as Google's events write it, RFC 3339 with its offset. Raises ValueError."""
    try:
        when = datetime.fromisoformat(text.strip().upper())
    except ValueError as error:
        raise ValueError("expected a time such as 2018-04-01T06:00:00Z") from error
    if when.tzinfo is None:
        raise ValueError("expected a time with its offset, such as 2018-04-01T06:00:00Z")
    return when


def day_of(when: datetime, zone_name: str) -> date:
    """The day that it is in the zone at this moment. Raises ValueError."""
    return when.astimezone(zone(zone_name)).date()
