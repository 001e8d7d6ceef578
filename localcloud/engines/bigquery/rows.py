"""The rows of the public bike share tables: 70 stations and 50,000 invented trips, always the same.

Only Python's own `random()` is drawn from, whose numbers do not change between versions. Commuters ride in two peaks on
working days, towards the offices and back; the others ride in the afternoon, along the water. Like the real table's,
times of day are San Francisco's, though a TIMESTAMP calls them UTC.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Generic, TypeVar

from localcloud.engines.bigquery.stations import STATIONS, Kind, Station

TRIPS = 50_000
FIRST, LAST = date(2016, 5, 1), date(2018, 5, 31)
_SEED = 20180401
_BIKES = 1_400
_SATURDAY = 5
_SAN_FRANCISCO = 3
_METRES_PER_DEGREE = 111_200

# Shares of the hours of a day, from midnight.
_COMMUTE = (1, 1, 0, 0, 2, 6, 20, 58, 100, 62, 26, 22, 26, 24, 24, 34, 66, 108, 74, 38, 20, 12, 8, 3)
_LEISURE = (3, 2, 1, 0, 0, 1, 3, 8, 18, 36, 58, 78, 92, 100, 100, 94, 82, 66, 48, 34, 22, 14, 9, 5)
_MIDDAY = 12

Weights = dict[Kind, float]
T = TypeVar("T")
_TO_WORK: tuple[Weights, Weights] = (
    {"transit": 5, "home": 4, "office": 0.7, "leisure": 0.6},
    {"office": 5, "transit": 1.6, "home": 0.4, "leisure": 0.7},
)
_FOR_FUN: tuple[Weights, Weights] = (
    {"leisure": 5, "transit": 2.2, "home": 1.6, "office": 0.8},
    {"leisure": 5, "transit": 2.0, "home": 1.6, "office": 0.7},
)

Row = tuple[object, ...]


def station_rows() -> Iterator[Row]:
    """The rows of bikeshare_station_info, in the order of its columns; geographies are WKT."""
    for station in STATIONS:
        yield (
            str(station.id),
            station.name,
            f"SF-{station.id:03d}",
            station.lat,
            station.lon,
            _SAN_FRANCISCO,
            "KEY,CREDITCARD",
            station.docks,
            f"local-{station.id:03d}",
            False,
            station.docks > 20,  # noqa: PLR2004  the large ones
            _point(station),
        )


def trip_rows(count: int = TRIPS) -> Iterator[Row]:
    """The rows of bikeshare_trips, by day; times are datetimes in "UTC"."""
    draw = random.Random(_SEED)  # noqa: S311  made up, not secret
    days = _Choice([FIRST + timedelta(n) for n in range((LAST - FIRST).days + 1)], _busy_days(draw))
    for day in sorted(days.pick(draw) for _ in range(count)):
        yield _trip(draw, day)


class _Choice(Generic[T]):
    """Things to choose from by weight."""

    def __init__(self, things: Sequence[T], weights: Sequence[float]) -> None:
        self._things = things
        self._sums = list(accumulate(weights))

    def pick(self, draw: random.Random) -> T:
        return self._things[bisect(self._sums, draw.random() * self._sums[-1])]


def _busy_days(draw: random.Random) -> list[float]:
    """Weights of the days: growth, summer, quiet weekends and holidays, and random weather."""
    weights = []
    for number in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(number)
        growth = 0.7 + 0.8 * number / (LAST - FIRST).days
        season = 1 - 0.18 * math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365)
        weekend = 0.52 if day.weekday() >= _SATURDAY else 1.0
        holiday = 0.4 if (day.month, day.day) in {(1, 1), (7, 4), (12, 24), (12, 25), (12, 31)} else 1.0
        weather = 0.45 if draw.random() < 0.06 else 0.9 + 0.2 * draw.random()  # noqa: PLR2004
        weights.append(growth * season * weekend * holiday * weather)
    return weights


def _by_kind(weights: Weights) -> _Choice[Station]:
    return _Choice(STATIONS, [station.pull * weights[station.kind] for station in STATIONS])


_ORIGINS_TO_WORK, _OFFICES = map(_by_kind, _TO_WORK)
_ORIGINS_FOR_FUN, _SIGHTS = map(_by_kind, _FOR_FUN)
_COMMUTE_HOURS, _LEISURE_HOURS = _Choice(range(24), _COMMUTE), _Choice(range(24), _LEISURE)
_GENDERS = _Choice(("Male", "Female", "Other", None), (66, 26, 2, 6))


def _trip(draw: random.Random, day: date) -> Row:
    weekend = day.weekday() >= _SATURDAY
    subscriber = draw.random() < (0.68 if weekend else 0.92)
    commute = subscriber and draw.random() < (0.15 if weekend else 0.88)
    hour = (_COMMUTE_HOURS if commute else _LEISURE_HOURS).pick(draw)
    origin, target = _ends(draw, commute=commute, morning=hour < _MIDDAY, subscriber=subscriber)
    seconds = int(draw.random() * 3600)
    start = datetime(day.year, day.month, day.day, hour, seconds // 60, seconds % 60, tzinfo=UTC)
    duration = _duration(draw, origin, target, subscriber=subscriber)
    bike = 10 + int(draw.random() * _BIKES)
    has_profile = subscriber or draw.random() < 0.7  # noqa: PLR2004
    kind = "Subscriber" if subscriber else "Customer"
    return (
        f"{bike}{start:%Y%m%d%H%M%S}",
        duration,
        start,
        origin.name,
        origin.id,
        start + timedelta(seconds=duration),
        target.name,
        target.id,
        bike,
        None,
        kind,
        None,
        origin.lat,
        origin.lon,
        target.lat,
        target.lon,
        2018 - int(20 + 38 * draw.random() ** 1.5) if has_profile else None,
        _GENDERS.pick(draw) if has_profile else None,
        "Yes" if subscriber and draw.random() < 0.06 else "No",  # noqa: PLR2004
        _point(origin),
        _point(target),
    )


def _ends(draw: random.Random, *, commute: bool, morning: bool, subscriber: bool) -> tuple[Station, Station]:
    """Choose where a trip begins and ends; only visitors come back to where they started."""
    first, second = (_ORIGINS_TO_WORK, _OFFICES) if commute else (_ORIGINS_FOR_FUN, _SIGHTS)
    if commute and not morning:
        first, second = second, first
    origin, target = first.pick(draw), second.pick(draw)
    while target is origin and subscriber:
        target = second.pick(draw)
    return origin, target


def _duration(draw: random.Random, origin: Station, target: Station, *, subscriber: bool) -> int:
    """Seconds on the way: riders cover 3.4 m/s of beeline, visitors dawdle, and both take time at the docks."""
    east = (target.lon - origin.lon) * math.cos(math.radians(origin.lat))
    metres = _METRES_PER_DEGREE * math.hypot(target.lat - origin.lat, east)
    spread = math.exp(0.5 * (draw.random() + draw.random() + draw.random() - 1.5))
    dawdling = 0 if subscriber else 1500 * draw.random() + 300
    return 90 + int((metres / 3.4 + dawdling) * spread)


def _point(station: Station) -> str:
    return f"POINT({station.lon} {station.lat})"
