"""Schedules: the check of Google's unix-cron form, and the next due time in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

DEFAULT_ZONE = "Etc/UTC"

_FIELDS = 5
# "*", "5", "MON", "1-5", with a step after "*" or a range; several joined by commas. cronsim knows more than Google
# does.
_VALUE = r"(?:\d{1,2}|[A-Z]{3})"
_TERM = rf"(?:\*(?:/\d{{1,2}})?|{_VALUE}(?:-{_VALUE}(?:/\d{{1,2}})?)?)"
_FIELD = re.compile(rf"{_TERM}(?:,{_TERM})*")
_ENGLISH = re.compile(r"(every|\d+(st|nd|rd|th)|first|second|third|fourth|fifth)\b", re.IGNORECASE)


def is_english(schedule: str) -> bool:
    """True if a schedule has the other form that Google takes: "every 24 hours", "1st monday of month 09:00"."""
    return _ENGLISH.match(schedule.strip()) is not None


def is_valid(schedule: str, zone: str) -> bool:
    """True if a schedule has five valid fields and is due on at least one day, and the time zone exists."""
    fields = schedule.split()
    if len(fields) != _FIELDS or not all(map(_FIELD.fullmatch, fields)) or zone_name(zone) not in _zones():
        return False
    try:
        next_after(schedule, zone, 0.0)
    except (CronSimError, StopIteration):
        return False
    return True


def next_after(schedule: str, zone: str, when: float) -> float:
    """Return the first time after `when` at which a valid schedule is due; both in seconds since the epoch."""
    moment = datetime.fromtimestamp(when, tz=ZoneInfo(zone_name(zone)))
    return next(CronSim(schedule, moment)).timestamp()


def zone_name(zone: str) -> str:
    """Return the tz database's name of a zone; Google takes "utc" for UTC."""
    return DEFAULT_ZONE if zone.lower() == "utc" else zone


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
