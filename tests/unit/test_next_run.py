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


@pytest.mark.parametrize(
    ("template", "day", "value"),
    [
        pytest.param("{today+1d}", "2018-12-31", '"2019-01-01"', id="next day"),
        pytest.param("{today-2w}", "2018-04-01", '"2018-03-18"', id="two weeks"),
        pytest.param("{today-1m}", "2018-03-31", '"2018-02-28"', id="end of a shorter month"),
        pytest.param("{today-1m}", "2018-01-15", '"2017-12-15"', id="month of the year before"),
        pytest.param("{today+2m}", "2018-12-15", '"2019-02-15"', id="month of the year after"),
        pytest.param("{today+1y}", "2020-02-29", '"2021-02-28"', id="year after a leap day"),
        pytest.param("{today-1m-1d}", "2018-03-01", '"2018-01-31"', id="two steps"),
        pytest.param("{today:%d.%m.%y}", "2018-04-01", '"01.04.18"', id="format"),
        pytest.param("{today:%G-W%V-%u %j}", "2018-12-31", '"2019-W01-1 365"', id="week of another year"),
        pytest.param("{today-1100y:%Y %%Y}", "2018-04-01", '"0918 %Y"', id="year of four digits"),
        pytest.param("{{today}} }}{{", "2018-04-01", '"{today} }{"', id="braces"),
        pytest.param(["{today}", 7], "2018-04-01", '["2018-04-01", 7]', id="list"),
        pytest.param({"{a": "{today}"}, "2018-04-01", '{"{a": "2018-04-01"}', id="mapping"),
    ],
)
def test_each_form_of_a_template_has_its_value(template: object, day: str, value: str) -> None:
    (_, line) = next_run_lines(replace(JOB, next=f"{day}T00:00:00Z"), document(template))
    assert line == f"  demo.ipynb: day = {value}"


def test_a_template_without_a_value_on_that_day_is_said() -> None:
    (_, line) = next_run_lines(JOB, document("{today-3000y}"))
    assert line == "  demo.ipynb: day = no value: it is outside the years 1 to 9999"


def test_without_a_live_document_only_the_time_is_known() -> None:
    assert list(next_run_lines(JOB, None)) == ["next run: 2026-07-06 06:00 (Pacific/Auckland)"]


@pytest.mark.parametrize(
    ("job", "line"),
    [
        pytest.param(
            replace(JOB, state="PAUSED"), "next run: none, because the schedule is PAUSED", id="paused"
        ),
        pytest.param(
            replace(JOB, next=""),
            "next run: not known yet; run `deploy --status` again in a minute",
            id="just created",
        ),
    ],
)
def test_no_next_run(job: JobState, line: str) -> None:
    assert list(next_run_lines(job, live())) == [line]
