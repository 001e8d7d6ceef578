"""The form of schedules, their due times in a time zone, and the wait before a retry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from localcloud.services.scheduler import rules_cron
from localcloud.services.scheduler.rules_retries import interval, may_retry


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/15 3 * * *",
        "0 9-17/2 * * MON-FRI",
        "0 0 1,15 JAN,JUL *",
        "59 23 31 12 7",
        " 0 5  * * 0 ",
    ],
)
def test_a_schedule_that_google_takes(schedule: str) -> None:
    assert rules_cron.is_valid(schedule, "Europe/Paris")


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param("", id="empty"), "* * * *", "0 * * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8",
        "0 0 L * *", "0 0 * * 5L", "0 0 * * 1#2", "0 0 LW * *", "@daily", "0 0 * * mon", "5/15 * * * *",
        "*/0 * * * *", "5-1 * * * *", "0 0 30 2 *", "0 0 * FOO *", "a b c d e", "-1 * * * *", "* * * * *,",
    ],
)  # fmt: skip
def test_a_schedule_that_google_refuses(schedule: str) -> None:
    assert not rules_cron.is_valid(schedule, "UTC")


@pytest.mark.parametrize(
    ("zone", "good"),
    [("utc", True), ("UTC", True), ("Etc/UTC", True), ("America/New_York", True), ("Asia/Munbai", False), ("../etc", False), pytest.param("", False, id="empty")],
)  # fmt: skip
def test_time_zones(zone: str, good: bool) -> None:  # noqa: FBT001
    assert rules_cron.is_valid("* * * * *", zone) is good


@pytest.mark.parametrize("schedule", ["every 24 hours", "Every day 09:00", "1st monday of month 09:00"])
def test_the_english_form_is_known(schedule: str) -> None:
    assert rules_cron.is_english(schedule)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("0 5 * * *", "UTC", "2026-01-01T04:59:59.900", "2026-01-01T05:00"),
        ("0 5 * * *", "utc", "2026-01-01T05:00", "2026-01-02T05:00"),
        ("0 5 * * *", "Europe/Paris", "2026-01-01T00:00", "2026-01-01T04:00"),
        ("0 5 * * *", "Europe/Paris", "2026-07-01T00:00", "2026-07-01T03:00"),
        ("0 5 * * *", "America/New_York", "2026-03-07T12:00", "2026-03-08T09:00"),
        ("0 0 13 * FRI", "UTC", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00", "2026-01-04T00:00"),
    ],
)
def test_the_next_time(schedule: str, zone: str, after: str, due: str) -> None:
    assert rules_cron.next_after(schedule, zone, at(after)) == at(due)


def config(**fields: Any) -> Any:
    defaults = {
        "maxRetryDuration": "0s",
        "minBackoffDuration": "10s",
        "maxBackoffDuration": "300s",
        "maxDoublings": 3,
    }
    return defaults | fields


def test_the_pauses_between_retries_double_then_grow_evenly() -> None:
    assert [interval(config(), retries) for retries in range(8)] == [10, 20, 40, 80, 160, 240, 300, 300]


@pytest.mark.parametrize(
    ("fields", "retries", "elapsed", "again"),
    [
        pytest.param({}, 0, 0, False, id="no policy"),
        pytest.param({"retryCount": 2}, 1, 10_000, True, id="count not reached"),
        pytest.param({"retryCount": 2}, 2, 0, False, id="count reached"),
        pytest.param({"maxRetryDuration": "60s"}, 10, 59, True, id="duration not reached"),
        pytest.param({"maxRetryDuration": "60s"}, 0, 60, False, id="duration reached"),
        pytest.param(
            {"retryCount": 1, "maxRetryDuration": "60s"}, 5, 59, True, id="duration not reached, count is"
        ),
        pytest.param(
            {"retryCount": 2, "maxRetryDuration": "60s"}, 1, 61, True, id="count not reached, duration is"
        ),
        pytest.param({"retryCount": 2, "maxRetryDuration": "60s"}, 2, 61, False, id="both reached"),
    ],
)
def test_when_a_job_is_tried_again(fields: Any, retries: int, elapsed: float, again: bool) -> None:  # noqa: FBT001
    assert may_retry(config(**fields), retries, elapsed) is again
