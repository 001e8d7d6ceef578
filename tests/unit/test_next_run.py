"""The next scheduled run, as `deploy --status` prints it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.deploy.live import Live, Schedule
from builder.deploy.status import next_run_lines
from builder.deploy_ports import JobConfig, JobState
from tests.unit.test_live import live

CONFIG = JobConfig(
    cron="0 6 * * 1", time_zone="Pacific/Auckland", topic="t", data=b"{}", description="", attributes={}, retries=3
)  # fmt: skip
# Sunday evening in UTC is Monday morning in Auckland.
JOB = JobState("jobs/nightly", CONFIG, "pubsub", "ENABLED", next="2026-07-05T18:00:00Z")


def document(template: object) -> Live:
    return replace(
        live(), schedule=Schedule("0 6 * * 1", "Pacific/Auckland", {"demo.ipynb": {"day": template}})
    )


def test_the_values_are_those_of_the_schedules_day() -> None:
    assert list(next_run_lines(JOB, document("{today-7d}"))) == [
        "next run: 2026-07-06 06:00 (Pacific/Auckland)",
        '  demo.ipynb: day = "2026-06-29"',
    ]


def test_a_template_without_a_value_on_that_day_is_said() -> None:
    (_, line) = next_run_lines(JOB, document("{today-3000y}"))
    assert line == "  demo.ipynb: day = no value: it is outside the years 1 to 9999"


def test_without_a_live_document_only_the_time_is_known() -> None:
    assert list(next_run_lines(JOB, None)) == ["next run: 2026-07-06 06:00 (Pacific/Auckland)"]


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(replace(JOB, state="PAUSED"), id="paused"),
        pytest.param(replace(JOB, next=""), id="none planned"),
    ],
)
def test_no_next_run(job: JobState) -> None:
    assert list(next_run_lines(job, live())) == [
        f"next run: none is planned, since the schedule is {job.state}"
    ]
