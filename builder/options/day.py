"""Days: of an event in the schedule's time zone, and ranges of days. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from builder.model import UTC

MAX_DAYS = 366  # of one range
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class DayRange:
    """The days from `first` to `last`, both included. Its text is FROM..TO."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    def __iter__(self) -> Iterator[date]:
        for number in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=number)


def read_range(text: str) -> DayRange:
    """Return the range in this text, FROM..TO. Raises ValueError with the form that is accepted."""
    first, _, last = text.strip().partition("..")
    found = DayRange(_one_day(first), _one_day(last))
    days = (found.last - found.first).days + 1
    if days < 1:
        raise ValueError(f"expected FROM..TO, but {found.last} is before {found.first}")
    if days > MAX_DAYS:
        raise ValueError(f"expected at most {MAX_DAYS} days, and these are {days}")
    return found


def read_day(text: str) -> date | None:
    """Return the day in this text, YYYY-MM-DD; None for another text and for a day that no calendar has."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _one_day(text: str) -> date:
    if (day := read_day(text)) is None:
        raise ValueError("expected FROM..TO, such as 2018-04-01..2018-04-30")
    return day


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name in the tz database; "utc" is UTC, as in Cloud Scheduler. Raises ValueError."""
    try:
        return ZoneInfo(UTC if name.lower() == "utc" else name)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ) as error:  # OSError: a folder's name, such as "Europe"
        raise ValueError("expected a time zone of the tz database, such as Europe/Paris") from error


def moment(text: str) -> datetime:
    """Return the time in this text, RFC 3339 with an offset, as in Google's events. Raises ValueError."""
    try:
        when = datetime.fromisoformat(text.strip().upper())
    except ValueError as error:
        raise ValueError("expected a time such as 2018-04-01T06:00:00Z") from error
    if when.tzinfo is None:
        raise ValueError("expected a time with its offset, such as 2018-04-01T06:00:00Z")
    return when


def day_of(when: datetime, zone_name: str) -> date:
    """Return the day in the zone at this moment. Raises ValueError."""
    return when.astimezone(zone(zone_name)).date()
