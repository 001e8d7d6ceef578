"""Queries: right answers, and the refusals of BigQuery that its emulator lacks."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest

from localcloud.engines.bigquery import rows
from tests.localcloud.bigquery.conftest import PROJECT, PUBLIC, Site, refusal

JOIN = f"""
SELECT place.name, COUNT(*) AS trips
FROM `{PUBLIC}.bikeshare_trips` AS trip
JOIN `{PUBLIC}.bikeshare_station_info` AS place
  ON place.station_id = CAST(trip.start_station_id AS STRING)
WHERE DATE(trip.start_date) BETWEEN @first AND @last
GROUP BY place.name
ORDER BY trips DESC, place.name
"""


def dates(**values: str) -> dict[str, Any]:
    return {
        "parameterMode": "NAMED",
        "queryParameters": [
            {"name": name, "parameterType": {"type": "DATE"}, "parameterValue": {"value": value}}
            for name, value in values.items()
        ],
    }


def test_a_join_equals_the_result_in_plain_python(site: Site) -> None:
    found = site.rows(JOIN, **dates(first="2018-04-01", last="2018-04-30"))
    expected: Counter[object] = Counter()
    for row in rows.trip_rows():
        start = row[2]
        assert hasattr(start, "date")
        if date(2018, 4, 1) <= start.date() <= date(2018, 4, 30):
            expected[row[3]] += 1
    ordered = sorted(expected.items(), key=lambda pair: (-pair[1], str(pair[0])))
    assert found == [[name, str(count)] for name, count in ordered]


def test_texts_are_not_compared_with_numbers(site: Site) -> None:
    wrong = JOIN.replace("CAST(trip.start_station_id AS STRING)", "trip.start_station_id")
    status, reason, message = refusal(site.query(wrong, **dates(first="2018-04-01", last="2018-04-30")))
    assert (status, reason) == (400, "invalidQuery")
    assert message.startswith("No matching signature for operator = for argument types: STRING, INT64.")


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        ("start_date >= DATE '2018-01-01'", "TIMESTAMP, DATE"),
        ("start_station_id = '3'", "INT64, STRING"),
        ("duration_sec BETWEEN 'a' AND 'b'", "INT64, STRING, STRING"),
        ("bike_number = TRUE", "INT64, BOOL"),
    ],
)
def test_other_types_that_do_not_go_together(site: Site, condition: str, types: str) -> None:
    answer = site.query(f"SELECT COUNT(*) FROM `{PUBLIC}.bikeshare_trips` WHERE {condition}")
    assert f"for argument types: {types}." in refusal(answer)[2]


@pytest.mark.parametrize(
    "condition",
    [
        "start_date >= '2018-05-31'",
        "start_date >= TIMESTAMP '2018-05-31'",
        "DATE(start_date) >= '2018-05-31'",
        pytest.param("duration_sec > 1.5 AND start_date >= '2018-05-31'", id="number and string"),
        pytest.param(
            "start_station_name != '' AND start_date >= TIMESTAMP('2018-05-31')", id="not equal and function"
        ),
        pytest.param(
            "EXTRACT(YEAR FROM start_date) = 2018 AND FORMAT_TIMESTAMP('%Y-%m-%d', start_date) = '2018-05-31'",
            id="extract and format",
        ),
    ],
)
def test_types_that_do(site: Site, condition: str) -> None:
    found = site.rows(f"SELECT COUNT(*) FROM `{PUBLIC}.bikeshare_trips` WHERE {condition}")
    assert 50 < int(found[0][0]) < 200


def test_unknown_names_are_reported_in_bigquerys_words(site: Site) -> None:
    told = {
        f"SELECT start_staton_name FROM `{PUBLIC}.bikeshare_trips`": (
            "Unrecognized name: start_staton_name; Did you mean start_station_name? at [1:8]"
        ),
        f"SELECT t.nonsense FROM `{PUBLIC}.bikeshare_trips` AS t": "Name nonsense not found inside t at [1:10]",
    }
    for text, message in told.items():
        assert refusal(site.query(text)) == (400, "invalidQuery", message)
    missing = refusal(site.query(f"SELECT 1 FROM `{PUBLIC}.nope`"))
    assert missing[:2] == (404, "notFound")
    assert missing[2].startswith("Not found: Table bigquery-public-data:san_francisco_bikeshare.nope was not")


def test_a_dry_run_tells_bytes_and_a_limit_is_kept(site: Site) -> None:
    text = f"SELECT COUNT(bike_number) FROM `{PUBLIC}.bikeshare_trips`"
    status, answer = site.query(text, dryRun=True)
    assert (status, answer["totalBytesProcessed"]) == (200, str(50_000 * 8))
    refused = refusal(site.query(text, maximumBytesBilled="1"))
    assert refused[1:] == (
        "bytesBilledLimitExceeded",
        "Query exceeded limit for bytes billed: 1. 10485760 or higher required.",
    )
    assert site.rows(text, maximumBytesBilled="10485760") == [["50000"]]


def test_tables_of_ones_own_are_made_filled_and_read_by_queries(site: Site) -> None:
    assert site.query("CREATE SCHEMA mine", account="")[0] == 200
    assert site.query("CREATE TABLE mine.t AS SELECT 7 AS a", account="")[0] == 200
    assert site.rows("SELECT a + 1 FROM mine.t", account="") == [["8"]]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", f"{PROJECT}/datasets/d/models", None, id="models"),
        pytest.param("POST", f"{PROJECT}/datasets", {}, id="new dataset"),
        pytest.param("DELETE", f"{PROJECT}/datasets/d/tables/t", None, id="deletion of a table"),
        pytest.param("POST", f"{PROJECT}/datasets/d/tables/t/insertAll", {}, id="rows"),
        pytest.param(
            "POST", "/upload/bigquery/v2/projects/local-project/jobs?uploadType=multipart", {}, id="upload"
        ),
        pytest.param("POST", f"{PROJECT}/jobs", {"configuration": {"load": {}}}, id="load job"),
        pytest.param("POST", f"{PROJECT}/queries", {"query": "SELECT 1"}, id="query without a job"),
    ],
)
def test_statements_that_are_not_covered_are_a_501(
    site: Site, method: str, path: str, body: dict[str, object] | None
) -> None:
    assert site.call(method, path, body)[0] == 501


def test_a_field_that_google_does_not_know_is_a_400(site: Site) -> None:
    assert refusal(site.query("SELECT 1", someNewField=1))[0] == 400


def test_null_means_not_set(site: Site) -> None:
    assert refusal(site.call("POST", f"{PROJECT}/jobs", {"configuration": None}))[0] == 400
    spec = {"query": "SELECT 1", "useLegacySql": False, "defaultDataset": None}
    job = {"jobReference": None, "configuration": {"query": spec, "load": None, "dryRun": None}}
    assert site.call("POST", f"{PROJECT}/jobs", job)[0] == 200
