"""Tests the request of an event: its date, the parameters of each job, and every mistake, found before any call."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import BadInput
from builder.model import Notebook
from builder.options.message import type_of
from builder.plan.build_plan import Plan, build_plan, describe
from builder.plan.choose import choose
from builder.plan.event import RunRequest, run_request
from builder.plan.notebooks import read_notebook
from builder.plan.parameter_types import parameter_types
from builder.plan.workspace import Workspace
from builder.report.plan import plan_lines
from tests.loading import load_options
from tests.unit.good_attempt import code, notebook_json

NOW = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
ENV = {
    "NB_GCS_LOCATION": "gs://bucket/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
    "NB_ZONES": "us-east1-b",
}
DECLARES = {"rides": "start = ''\ndays = 7\nkind = 'bike'", "sales": "start = ''\nlimit: float = 1.5"}
SCHEDULE = '{"start": "{today-7d}"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, source in DECLARES.items():
        content = notebook_json(code(1, source, "parameters"), code(2, "print(start)"))
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(content))
    return tmp_path


def planned(folder: Path, *notebooks: str, **env: str) -> Plan:
    names = ",".join(f"{name}.ipynb" for name in notebooks or ("rides",))
    options = load_options(["run"], {**ENV, "NB_NOTEBOOKS": names, **env}, lambda _: None)
    request = run_request(options, NOW)
    return build_plan(options, choose(options, Workspace(folder), request), request)


def parameters(plan: Plan) -> list[dict[str, Any]]:
    return [dict(job.parameters) for job in plan.jobs]


def mistakes(folder: Path, *notebooks: str, **env: str) -> list[str]:
    with pytest.raises(BadInput) as told:
        planned(folder, *notebooks, **env)
    return [str(problem) for problem in told.value.problems]


# -- today ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "day"),
    [
        pytest.param({}, "2026-07-01", id="now"),
        pytest.param({"NB_TIME_ZONE": "Asia/Tokyo"}, "2026-07-02", id="now in Tokyo"),
        pytest.param({"NB_EVENT": "{}"}, "2026-07-01", id="event without a time"),
        pytest.param({"NB_EVENT": "{}", "NB_EVENT_TIME": "2018-03-31T23:30:00Z"}, "2018-03-31", id="event's time"),
        pytest.param(
            {"NB_EVENT": "{}", "NB_EVENT_TIME": "2018-03-31T23:30:00Z", "NB_TIME_ZONE": "Europe/Paris"}, "2018-04-01",
            id="event's time in Paris",
        ),
        pytest.param(
            {"NB_EVENT": '{"today": "2018-04-01"}', "NB_EVENT_TIME": "2020-01-01T00:00:00Z"}, "2018-04-01",
            id="message's day",
        ),
    ],
)  # fmt: skip
def test_today_is_the_messages_else_the_events_else_now_in_the_zone(
    folder: Path, env: dict[str, str], day: str
) -> None:
    plan = planned(folder, **env)
    assert plan.today.isoformat() == day
    assert plan.scheduled is ("NB_EVENT" in env)
    described = describe(plan, project="p", run="r")
    assert described["today"] == day
    assert (f"scheduled, for {day}" in list(plan_lines(described))) is plan.scheduled


@pytest.mark.parametrize(
    ("env", "output"),
    [
        ({}, "results/r/rides/"),
        ({"NB_OUTPUT": "results/<run>/figures"}, "results/r/figures/rides/"),
        ({"NB_EVENT": '{"today": "2018-04-01"}'}, "versions/2018-04-01/rides/"),
        (
            {"NB_EVENT": '{"today": "2018-04-01"}', "NB_OUTPUT": "results/<run>/figures"},
            "versions/2018-04-01/rides/",
        ),
        (
            {"NB_EVENT": '{"today": "2018-04-01", "parameters": {"days": 9}}'},
            "versions/2018-04-01/days=9-5b425d0f/rides/",
        ),
        (
            {"NB_EVENT": '{"today": "2018-04-01", "parameters": {"days": 9}, "publish": true}'},
            "versions/2018-04-01/rides/",
        ),
    ],
    ids=[
        "no event",
        "no event, a folder below",
        "an event",
        "an event, a folder below",
        "values of a message",
        "published values",
    ],
)
def test_an_event_alone_writes_a_days_folder(folder: Path, env: dict[str, str], output: str) -> None:
    (job,) = describe(planned(folder, **env), project="p", run="r")["jobs"]
    assert job["output"] == f"gs://bucket/ci/{output}"


def test_a_time_out_of_the_calendar_is_a_mistake(folder: Path) -> None:
    env = {
        "NB_EVENT": "{}",
        "NB_EVENT_TIME": "0001-01-01T00:00:00Z",
        "NB_TIME_ZONE": "America/New_York",
    }
    assert mistakes(folder, **env) == [
        "NB_EVENT_TIME is '0001-01-01T00:00:00Z': is outside the years 1 to 9999"
    ]


# -- parameters -----------------------------------------------------------------------------------------------------


def test_without_an_event_the_jobs_get_the_parameters_of_ci(folder: Path) -> None:
    plan = planned(folder, NB_PARAMETERS='{"days": 1}', NB_SCHEDULE_PARAMETERS=SCHEDULE)
    assert parameters(plan) == [{"days": 1}]


def test_the_schedule_goes_over_ci_and_the_message_over_both(folder: Path) -> None:
    env = {
        "NB_PARAMETERS": '{"days": 1, "kind": "a"}',
        "NB_SCHEDULE_PARAMETERS": '{"start": "{today-7d}", "kind": "of {today:%Y}"}',
    }
    today = '"today": "2018-04-01"'
    assert parameters(planned(folder, **env, NB_EVENT=f"{{{today}}}")) == [
        {"days": 1, "kind": "of 2018", "start": "2018-03-25"}
    ]
    message = f'{{{today}, "parameters": {{"days": 30, "start": "{{today}}"}}}}'
    # A message's texts are values: nobody fills them in.
    assert parameters(planned(folder, **env, NB_EVENT=message)) == [
        {"days": 30, "kind": "of 2018", "start": "{today}"}
    ]


def test_single_values_replace_the_lists_of_cis_matrix(folder: Path) -> None:
    env = {
        "NB_PARAMETERS": '{"matrix": {"start": ["a", "b"], "days": [1, 2], "kind": ["x", "y"]}}',
        "NB_SCHEDULE_PARAMETERS": SCHEDULE,
    }
    plan = planned(folder, **env, NB_EVENT='{"today": "2018-04-01", "parameters": {"days": 9}}')
    assert parameters(plan) == [
        {"start": "2018-03-25", "days": 9, "kind": "x"},
        {"start": "2018-03-25", "days": 9, "kind": "y"},
    ]
    assert [job.job for job in plan.jobs] == ["rides-kind-x", "rides-kind-y"]
    assert len(planned(folder, **env).jobs) == 8


def test_a_messages_value_goes_to_the_notebooks_that_declare_it(folder: Path) -> None:
    message = '{"parameters": {"start": "s", "limit": 2}}'
    plan = planned(folder, "rides", "sales", NB_EVENT=message)
    assert parameters(plan) == [{"start": "s"}, {"start": "s", "limit": 2}]


def test_a_notebook_in_another_language_takes_only_its_configured_parameters_from_a_message(
    folder: Path,
) -> None:
    content = notebook_json(code(1, "start <- 1", "parameters"))
    content["metadata"] = {
        "kernelspec": {"name": "ir", "display_name": "R", "language": "R"},
        "language_info": {"name": "R"},
    }
    (folder / "r.ipynb").write_text(json.dumps(content))
    env = {"NB_SCHEDULE_PARAMETERS": SCHEDULE}
    plan = planned(folder, "r", **env, NB_EVENT='{"parameters": {"start": "s"}}')
    assert parameters(plan) == [{"start": "s"}]
    assert "no notebook declares it" in mistakes(folder, "r", **env, NB_EVENT='{"parameters": {"x": 1}}')[0]


@pytest.mark.parametrize(
    ("language", "kernel", "refused"),
    [("julia", "julia-1.11", True), ("PowerShell", ".net-powershell", True), ("R", "ir", False)],
)
def test_a_messages_text_never_becomes_code(folder: Path, language: str, kernel: str, refused: bool) -> None:  # noqa: FBT001
    content = notebook_json(code(1, "start = 1", "parameters"))
    content["metadata"] = {
        "kernelspec": {"name": kernel, "display_name": "x", "language": language},
        "language_info": {"name": language},
    }
    (folder / "x.ipynb").write_text(json.dumps(content))
    env = {"NB_SCHEDULE_PARAMETERS": SCHEDULE}
    assert parameters(planned(folder, "x", **env, NB_EVENT='{"parameters": {"start": "s"}}')) == [
        {"start": "s"}
    ]
    for text in ("$(run(`id`))", "`", "a $x"):
        message = json.dumps({"parameters": {"start": text}})
        if refused:
            assert "would be code in x.ipynb" in mistakes(folder, "x", **env, NB_EVENT=message)[0]
        else:
            assert parameters(planned(folder, "x", **env, NB_EVENT=message)) == [{"start": text}]


# -- mistakes -------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_message_are_reported_together(folder: Path) -> None:
    message = '{"parameters": {"days": "7", "dayz": 1, "kind": ["a"], "limit": "x"}}'
    assert mistakes(folder, "rides", "sales", NB_EVENT=message) == [
        "NB_EVENT: parameter days: expected an integer",
        "NB_EVENT: parameter dayz: no notebook declares it; declared: days, kind, limit, start",
        "NB_EVENT: parameter kind: expected a string",
        "NB_EVENT: parameter limit: expected a number",
    ]


def test_parameters_of_a_missing_notebook_are_not_reported_as_undeclared(folder: Path) -> None:
    (told,) = mistakes(folder, "rides", "gone", NB_EVENT='{"parameters": {"limit": 1}}')
    assert "gone.ipynb" in told


def test_a_schedules_mistakes_are_found_without_an_event(folder: Path) -> None:
    (told,) = mistakes(folder, NB_SCHEDULE_PARAMETERS='{"strat": "{today}"}')
    assert told.startswith(
        "NB_SCHEDULE_PARAMETERS (schedule_parameters) is 'strat': not a parameter of rides.ipynb (did you mean start?)"
    )


def test_a_schedules_value_is_of_the_kind_that_ci_proved(folder: Path) -> None:
    (told,) = mistakes(folder, NB_SCHEDULE_PARAMETERS='{"days": "{today}"}')
    assert told.startswith(
        "NB_SCHEDULE_PARAMETERS (schedule_parameters) is 'days': expected an integer, as CI's value"
    )
    given = {"NB_PARAMETERS": '{"days": "seven"}', "NB_SCHEDULE_PARAMETERS": '{"days": "{today}"}'}
    assert parameters(planned(folder, **given)) == [{"days": "seven"}]


def test_a_template_may_lead_nowhere_on_its_day(folder: Path) -> None:
    (told,) = mistakes(
        folder, NB_SCHEDULE_PARAMETERS='{"start": "{today+1d}"}', NB_EVENT='{"today": "9999-12-31"}'
    )
    assert told == "NB_EVENT is 'today 9999-12-31': the schedule's start is outside the years 1 to 9999"
    (told,) = mistakes(
        folder,
        NB_SCHEDULE_PARAMETERS='{"start": "{today+1d}"}',
        NB_EVENT="{}",
        NB_EVENT_TIME="9999-12-31T06:00:00Z",
    )
    assert told.startswith(
        "NB_SCHEDULE_PARAMETERS (schedule_parameters) is 'start': on 9999-12-31: is outside the years"
    )


def test_a_value_that_looks_like_a_secret_is_refused_and_not_repeated(folder: Path) -> None:
    key = "AKIA" + "A1B2" * 4
    message = json.dumps({"parameters": {"start": key}})
    told = mistakes(folder, "rides", "sales", NB_EVENT=message)
    assert len(told) == 1
    assert told[0].startswith("NB_EVENT: parameter start: looks like a secret")
    scheduled = mistakes(folder, NB_SCHEDULE_PARAMETERS=json.dumps({"start": key}))
    assert scheduled[0].startswith("NB_SCHEDULE_PARAMETERS is 'start': looks like a secret")
    assert key not in "".join(told + scheduled)
    allowed = {"NB_ALLOW_SECRET_PARAMETERS": "true"}
    assert parameters(planned(folder, NB_EVENT=message, **allowed)) == [{"start": key}]


def test_a_number_that_json_cannot_hold_is_refused(folder: Path) -> None:
    (told,) = mistakes(folder, "sales", NB_EVENT='{"parameters": {"limit": 1e999}}')
    assert "a number is too large" in told


def test_an_incomplete_event_is_refused(folder: Path) -> None:
    half = {"NB_EVENT_ID": "e1", "NB_EVENT_TIME": "2018-03-31T23:30:00Z", "NB_EVENT": " "}
    expected = "needs the event's message too: set NB_EVENT"
    assert mistakes(folder, **half) == [
        f"NB_EVENT_ID is 'e1': {expected}",
        f"NB_EVENT_TIME is '2018-03-31T23:30:00Z': {expected}",
    ]
    (wrong,) = mistakes(folder, **{**half, "NB_EVENT": "{"})
    assert "the message is no JSON" in wrong
    env = {**ENV, "NB_NOTEBOOKS": "rides.ipynb", **half}
    assert load_options(["plan"], env, lambda _: None).event is None


# -- kinds ----------------------------------------------------------------------------------------------------------


def book(source: str, kind: str = "code") -> Notebook:
    cell = code(1, source, "parameters")
    if kind == "markdown":
        cell = {key: value for key, value in cell.items() if key not in {"outputs", "execution_count"}}
        cell["cell_type"] = kind
    read = read_notebook("a.ipynb", json.dumps(notebook_json(cell, code(2, "1"))).encode())
    assert isinstance(read, Notebook), read
    return read


@pytest.mark.parametrize(
    ("source", "types"),
    [
        pytest.param(
            "a = 1\nb = 1.5\nc = 'x'\nd = True\ne = [1]\nf = {'x': 1}\ng = None", "integer number string boolean array object -",
            id="every kind",
        ),
        pytest.param("a: int = 1\nb: float\nc: str = ''", "integer string", id="annotations"),
        pytest.param("a = -1\nb = 1 + 1\nc = f()\nd = (1, 2)\ne = {1}", "integer - - array -", id="expressions"),
        pytest.param("a = 1\na = 'x'", "string", id="assigned twice"),
        pytest.param("a = 1\na = f()", "-", id="assigned twice, then an expression"),
        pytest.param("%matplotlib inline\na = 1", "-", id="magic"),
        pytest.param("a = '\\d'", "string", id="invalid escape"),
        pytest.param("a = " + "(" * 300 + "1" + ")" * 300, "-", id="nested too deeply"),
        pytest.param("if x:\n    pass\na = 1", "integer", id="within an if"),
        pytest.param("open('never-written', 'w')\na = open('never-written', 'w')", "-", id="call"),
        pytest.param("", "", id="empty"),
    ],
)  # fmt: skip
def test_a_parameters_kind_is_its_literal_defaults(source: str, types: str) -> None:
    found = parameter_types(book(source), {})
    assert [kind or "-" for kind in found.values()] == types.split()
    assert not Path("never-written").exists()


def test_a_given_value_decides_the_type_before_the_default_does() -> None:
    given = {"a": "x", "matrix": {"b": [1.5, 2], "c": [None]}}
    found = parameter_types(book("a = 1\nb = 1\nc = 1\nd = 1"), given)
    assert found == {"a": "string", "b": "number", "c": "", "d": "integer"}


def test_a_markdown_cell_declares_without_defaults() -> None:
    assert parameter_types(book("a = 1", "markdown"), {}) == {"a": ""}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.text(), JSON)
def test_no_text_of_a_cell_breaks_the_kinds(source: str, value: object) -> None:
    assert set(parameter_types(book(source), {}).values()) <= {
        *("boolean", "integer", "number", "string", "array", "object", ""),
    }
    assert parameter_types(book(f"a = {value!r}"), {}).get("a", type_of(value)) in {type_of(value), ""}


def test_an_asked_day_is_enough_for_a_plan() -> None:
    assert RunRequest(date(2026, 7, 1), date(2026, 7, 1)).message is None


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param("{}", True, id="the schedule"),
        pytest.param('{"today": "2026-07-01"}', True, id="the day again"),
        pytest.param('{"today": "2026-06-30"}', True, id="an earlier day"),
        pytest.param('{"today": "2062-07-01"}', False, id="a day of the future"),
        pytest.param('{"parameters": {"days": 1}}', False, id="values"),
        pytest.param('{"parameters": {"days": 1}, "publish": true}', True, id="values for the day"),
    ],
)
def test_the_results_of_a_day_can_become_the_latest(folder: Path, event: str, *, expected: bool) -> None:
    plan = planned(folder, NB_EVENT=event, NB_EVENT_ID="e1", NB_EVENT_TIME="2026-07-01T06:00:00Z")
    assert plan.latest is expected
    assert not planned(folder).latest, "a run of CI"
