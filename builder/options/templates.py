"""Dates in a schedule's parameters: `{today}`, `{today-7d}`, `{today-1m:%Y-%m}` become text. Pure.

A placeholder has steps (`-7d`, `+1m`: days, weeks, months, years) and a format after `:`; the default is YYYY-MM-DD.
`{{` and `}}` stand for braces.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

_PIECE = re.compile(r"\{\{|\}\}|\{(?P<place>[^{}]*)\}|[{}]")
_PLACE = re.compile(r"today(?P<steps>(?:[+-][0-9]{1,4}[dwmy])*)(?::(?P<format>.+))?", re.DOTALL)
_STEP = re.compile(r"([+-][0-9]+)([dwmy])")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
# The directives of strftime that depend only on the day, and mean the same on every machine.
_DIRECTIVES = frozenset("YymdjGVu%")
_FORMS = "expected {today}, {today-7d}, {today-1m:%Y-%m} or their like (d, w, m, y), and {{ or }} for a brace itself"
_MONTHS = 12


class TemplateMistake(ValueError):
    """An invalid template; the message says what is expected."""


def render(value: Any, today: date) -> Any:
    """Return the value with all placeholders in its texts, lists and mappings filled in. Raises TemplateMistake."""
    if isinstance(value, str):
        return _PIECE.sub(lambda piece: _fill(piece, today), value)
    if isinstance(value, Mapping):
        return {key: render(item, today) for key, item in value.items()}
    return [render(item, today) for item in value] if isinstance(value, list) else value


def mistakes(value: Any) -> Iterator[str]:
    """Yield the mistakes in the templates of a value, for any day."""
    if isinstance(value, str):
        try:
            render(value, date(2000, 2, 29))
        except TemplateMistake as mistake:
            yield str(mistake)
    elif isinstance(value, Mapping):
        yield from (mistake for item in value.values() for mistake in mistakes(item))
    elif isinstance(value, list):
        yield from (mistake for item in value for mistake in mistakes(item))


def _fill(piece: re.Match[str], today: date) -> str:
    whole = piece.group()
    if whole in {"{{", "}}"}:
        return whole[0]
    found = _PLACE.fullmatch(piece["place"] or "")
    if found is None:
        raise TemplateMistake(_FORMS)
    return _formatted(_stepped(today, found["steps"]), found["format"])


def _stepped(today: date, steps: str) -> date:
    day = today
    try:
        for count, unit in _STEP.findall(steps):
            day = _step(day, int(count), unit)
    except (OverflowError, ValueError) as error:
        raise TemplateMistake("is outside the years 1 to 9999") from error
    return day


def _step(day: date, count: int, unit: str) -> date:
    if unit in "dw":
        return day + timedelta(days=count * (7 if unit == "w" else 1))
    months = day.year * _MONTHS + day.month - 1 + count * (_MONTHS if unit == "y" else 1)
    year, month = months // _MONTHS, months % _MONTHS + 1
    # 31 March minus one month is the last day of February.
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _formatted(day: date, wanted: str | None) -> str:
    if wanted is None:
        return day.isoformat()
    unknown = [letter for letter in _DIRECTIVE.findall(wanted) if letter not in _DIRECTIVES or not letter]
    if unknown:
        raise TemplateMistake(f"%{unknown[0]} is no part of a day: expected %Y %y %m %d %j %G %V %u or %%")
    # Some systems omit the leading zeros of years before 1000.
    return day.strftime(wanted.replace("%%", "\0").replace("%Y", f"{day.year:04}").replace("\0", "%%"))
