"""The invented trips: always the same, the promised number, with a city's patterns."""

import hashlib
from collections import Counter
from typing import Any

import pytest

from localcloud.engines.bigquery import rows
from localcloud.engines.bigquery.schemas import STATION_INFO, TRIPS

STATIONS: list[dict[str, Any]] = [
    dict(zip((name for name, _ in STATION_INFO), row, strict=True)) for row in rows.station_rows()
]


@pytest.fixture(scope="module")
def trips() -> list[dict[str, Any]]:
    """The 50,000 trips; a second of CPU time."""
    return [dict(zip((name for name, _ in TRIPS), row, strict=True)) for row in rows.trip_rows()]


def test_they_are_the_same_on_every_machine_and_in_every_version(trips: list[dict[str, Any]]) -> None:
    told = hashlib.sha256("\n".join(str(list(row.values())) for row in [*STATIONS, *trips]).encode())
    assert told.hexdigest() == "e2da49c1bd5a286964f0ad34244e1da6cbe3c1b117a15d3b11178268d92b0e4b"


def test_there_are_70_stations_in_san_francisco() -> None:
    assert (
        len(STATIONS)
        == len({row["name"] for row in STATIONS})
        == len({row["station_id"] for row in STATIONS})
        == 70
    )
    for row in STATIONS:
        assert isinstance(row["station_id"], str)
        assert 37.74 < row["lat"] < 37.81
        assert -122.46 < row["lon"] < -122.38
        assert 15 <= row["capacity"] <= 38


def test_there_are_50_000_trips_over_two_years(trips: list[dict[str, Any]]) -> None:
    assert len(trips) == len({row["trip_id"] for row in trips}) == 50_000
    days = {row["start_date"].date() for row in trips}
    assert (min(days), max(days)) == (rows.FIRST, rows.LAST)
    assert len(days) > 750
    months = Counter(f"{day:%Y-%m}" for day in (row["start_date"] for row in trips))
    assert min(months.values()) > 900
    assert months["2018-04"] > 2000


def test_a_trip_joins_its_stations_and_takes_its_time(trips: list[dict[str, Any]]) -> None:
    names = {int(row["station_id"]): row["name"] for row in STATIONS}
    for row in trips:
        assert names[row["start_station_id"]] == row["start_station_name"]
        assert names[row["end_station_id"]] == row["end_station_name"]
        assert (row["end_date"] - row["start_date"]).seconds == row["duration_sec"]
        assert 60 < row["duration_sec"] < 2 * 3600


def test_commuters_have_two_peaks_and_the_weekend_one(trips: list[dict[str, Any]]) -> None:
    working, weekend = Counter[int](), Counter[int]()
    for row in trips:
        (weekend if row["start_date"].weekday() >= 5 else working)[row["start_date"].hour] += 1
    assert {hour for hour, _ in working.most_common(2)} == {8, 17}
    assert working[12] < working[8] / 2
    assert weekend.most_common(1)[0][0] in {12, 13, 14, 15}
    assert sum(weekend.values()) / 2 < 0.7 * sum(working.values()) / 5
