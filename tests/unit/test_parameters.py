"""Parameters from where they are given to the jobs they make: types, files, the matrix, names of jobs, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from papermill.iorw import NoDatesSafeLoader
from papermill.translators import PythonTranslator

from builder.errors import BadInput
from builder.options import JobOptions
from builder.options.parameters import MAX_POINTS, fan_out, parse_parameters
from builder.options.values import InvalidValue
from builder.plan import choose as choose_module
from builder.plan.build_plan import build_plan, describe
from builder.plan.choose import choose
from builder.plan.event import RunRequest
from builder.plan.slugs import job_slugs, values_slug
from builder.plan.workspace import Workspace
from builder.report.plan import plan_lines
from tests.loading import load_options
from tests.unit.good_attempt import code, notebook_json

ENV = {
    "NB_NOTEBOOKS": "a.ipynb",
    "NB_GCS_LOCATION": "gs://bucket/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
    "PROJECT_ID": "my-project",
}
ODD = {
    "whole": 7,
    "huge": 10**300,
    "negative": -1,
    "float": 7.0,
    "large": 1e22,
    "small": 1e-7,
    "smallest": 5e-324,
    "zero": -0.0,
    "yes": True,
    "nothing": None,
    "text": "Zürich \U0001f6b2 \u2028 \x7f \t \\ \" ' \n end\\",
    "like": ["1", "1e5", "1.0", "true", "yes", "no", "null", "~", "", "2026-07-01", "12:30", "0x1F", "007", "NaN", "[1]", "{a: 1}", "# x", "=", "<<"],
    "list": [1, [2.5, [None, False]], {"a": {"b": ["x"]}}],
    "mapping": {"1": 1, "true": "true", "a b": {}, "é": []},
}  # fmt: skip


def job(files: Mapping[str, str] | None = None, **env: str) -> JobOptions:
    options = load_options(
        [], ENV | {"NB_" + name.upper(): value for name, value in env.items()}, (files or {}).get
    )
    return options.notebooks[0].options


def mistakes(files: Mapping[str, str] | None = None, **env: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        job(files, **env)
    return [str(problem) for problem in caught.value.problems]


def same(one: object, other: object) -> bool:
    """Equal and of equal types, all the way down; 0.0 is not -0.0."""
    return repr(one) == repr(other)


# -- types ----------------------------------------------------------------------------------------------------------


def through_papermill(values: Any) -> Any:
    """Return the notebook's variables as the runner sets them: staged as JSON, passed as YAML, written as Python."""
    staged = json.loads(json.dumps(values, ensure_ascii=False).encode())
    loaded = yaml.load(yaml.safe_dump(staged, sort_keys=False), Loader=NoDatesSafeLoader)
    found: dict[str, Any] = {}
    exec(PythonTranslator.codify(loaded), found)
    return {name: found[name] for name in values}


@pytest.mark.parametrize("name", ODD)
def test_a_value_keeps_its_type_on_the_whole_way(name: str) -> None:
    for text in (json.dumps({name: ODD[name]}), json.dumps({name: ODD[name]}, ensure_ascii=False, indent=2)):
        read = job(parameters=text).parameters
        assert same(dict(read), {name: ODD[name]})
        assert same(through_papermill(read), {name: ODD[name]})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(_VALUES)
def test_any_value_keeps_its_type(value: object) -> None:
    read = parse_parameters(json.dumps({"x": value}))
    assert same(read, {"x": value})
    assert same(through_papermill(read), {"x": value})


def test_yaml_values_are_what_they_look_like() -> None:
    text = "a: 1e22\nb: 1.0\nc: yes\nd: 2026-07-01\ne: 12:30\nf: 007\ng: '7'\nh: null\ni: 7\nj: [1, '1']\nk: 0x1F"
    read = job(parameters=text).parameters
    expected = {"a": 1e22, "b": 1.0, "c": "yes", "d": "2026-07-01", "e": "12:30", "f": "007", "g": "7", "h": None, "i": 7, "j": [1, "1"], "k": "0x1F"}  # fmt: skip
    assert same(dict(read), expected)


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": [-Infinity]}', '{"a": 1e999}', "a: .nan", "a: [.inf]", "a: 1e999"]
)
def test_nan_and_infinity_are_refused(text: str) -> None:
    assert "finite" in mistakes(parameters=text)[0]


@pytest.mark.parametrize("text", ['{"a": %s}', "a: %s"])
def test_a_number_that_is_too_long_does_not_become_text(text: str) -> None:
    assert same(job(parameters=text % ("9" * 1000)).parameters["a"], int("9" * 1000))
    assert "at most 1000 digits in a number" in mistakes(parameters=text % ("9" * 5000))[0]


# -- the file -------------------------------------------------------------------------------------------------------


def test_given_parameters_lie_over_those_of_the_file() -> None:
    file = {"ci/p.yaml": "city: Paris\ndays: 1\nmatrix: {kind: [a, b], hour: [1]}"}
    read = job(
        file, parameters_file="ci/p.yaml", parameters='{"days": 2, "matrix": {"hour": [2, 3]}}'
    ).parameters
    assert read == {"city": "Paris", "days": 2, "matrix": {"kind": ["a", "b"], "hour": [2, 3]}}
    assert job(file, parameters_file="ci/p.yaml").parameters["days"] == 1


def test_a_file_named_by_a_higher_layer_wins() -> None:
    files = {"p.json": '{"days": 30}', "notebooks.yaml": "parameters: {days: 1, city: Rome}"}
    assert job(files, parameters_file="p.json").parameters == {"days": 30, "city": "Rome"}
    files["notebooks.yaml"] += "\nparameters_file: p.json"
    assert job(files).parameters == {"days": 1, "city": "Rome"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            None, "NB_PARAMETERS_FILE is 'p.yaml': there is no such file in the workspace", id="missing file"
        ),
        pytest.param("a: 1\nb: {", "p.yaml line 2", id="half of a mapping"),
        pytest.param(
            "a: 1\na: 2", "p.yaml line 2, column 1 is 'a': this is already on line 1", id="key given twice"
        ),
        pytest.param("[1]", "p.yaml: expected a mapping", id="list"),
        pytest.param('{"a-b": 1}', "p.yaml is 'a-b': expected a parameter's name", id="bad name"),
        pytest.param("a: .nan", "p.yaml line 1, column 4 is '.nan': expected a finite number", id="NaN"),
        pytest.param(
            "matrix: {a: []}", "p.yaml is 'a': expected at least one value", id="empty list in the matrix"
        ),
        pytest.param("token: abc", "p.yaml is 'token': looks like a secret", id="secret"),
    ],
)
def test_mistakes_in_the_file(content: str | None, told: str) -> None:
    files = {} if content is None else {"p.yaml": content}
    found = mistakes(files, parameters_file="p.yaml")
    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(PermissionError(13, "Permission denied"), "Permission denied", id="no permission"),
        pytest.param(
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "it is no UTF-8 text", id="other bytes"
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_mistake(error: Exception, reason: str) -> None:
    def read_file(name: str) -> str | None:
        if name == "p.yaml":
            raise error
        return None

    with pytest.raises(BadInput) as caught:
        load_options([], {**ENV, "NB_PARAMETERS_FILE": "p.yaml"}, read_file)
    assert [str(problem) for problem in caught.value.problems] == [f"p.yaml: cannot be read: {reason}"]


def test_both_sources_are_checked() -> None:
    found = mistakes({"p.yaml": "a-b: 1"}, parameters_file="p.yaml", parameters='{"c-d": 1}')
    assert ["a-b" in text or "c-d" in text for text in found] == [True, True]
    assert "no .." in mistakes(parameters_file="../p.yaml")[0]


# -- the matrix -----------------------------------------------------------------------------------------------------


def test_a_matrix_is_one_job_for_each_combination() -> None:
    points = fan_out({"city": "Paris", "matrix": {"days": [7, 30], "kind": ["a", "b"]}})
    assert [dict(point.parameters) for point in points] == [
        {"city": "Paris", "days": days, "kind": kind} for days in (7, 30) for kind in "ab"
    ]
    assert [dict(point.parameters) for point in fan_out({"a": 1})] == [{"a": 1}]
    assert [dict(point.parameters) for point in fan_out({})] == [{}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('{"matrix": [1]}', "'matrix': expected a mapping of names to lists", id="list for the matrix"),
        pytest.param('{"matrix": {}}', "'matrix': expected a mapping of names to lists", id="empty matrix"),
        pytest.param('{"matrix": {"a": 1}}', "'a': expected a list", id="number for a list"),
        pytest.param('{"matrix": {"a": "xy"}}', "'a': expected a list", id="text for a list"),
        pytest.param('{"matrix": {"a": []}}', "'a': expected at least one value", id="empty list"),
        pytest.param(
            '{"matrix": {"a": [1, 2, 1]}}', "'a': value 3 of 3 in the matrix occurs twice",
            id="number given twice",
        ),
        pytest.param(
            '{"matrix": {"a": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]}}', "'a': value 2 of 2",
            id="mapping given twice",
        ),
        pytest.param(
            '{"a": 1, "matrix": {"a": [1]}}', "'a': is given both by itself and in the matrix",
            id="name outside and inside",
        ),
        pytest.param('{"matrix": {"a b": [1]}}', "'a b': expected a parameter's name", id="bad name"),
        pytest.param(
            '{"matrix": {"matrix": [1]}}', "'matrix': a matrix cannot contain a matrix",
            id="matrix in a matrix",
        ),
        pytest.param('{"matrix": {"a": [1], "a": [2]}}', "'a': the key 'a' is given twice", id="key given twice"),
        pytest.param(
            json.dumps({"matrix": {"a": list(range(17)), "b": list(range(16))}}), "17 x 16 makes 272 jobs; at most 256",
            id="too many jobs",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_a_matrix(text: str, told: str) -> None:
    found = mistakes(parameters=text)
    assert len(found) == 1
    assert told in found[0]


def test_values_that_only_python_holds_for_equal_are_different_jobs() -> None:
    read = parse_parameters('{"matrix": {"a": [1, 1.0, true, "1", null]}}')
    assert len(fan_out(read)) == 5
    assert len(fan_out(parse_parameters(json.dumps({"matrix": {"a": list(range(256))}})))) == MAX_POINTS


def test_a_conflict_between_file_and_option_is_reported() -> None:
    found = mistakes({"p.yaml": "a: 1"}, parameters_file="p.yaml", parameters='{"matrix": {"a": [2]}}')
    assert found == ["NB_PARAMETERS and p.yaml is 'a': is given both by itself and in the matrix: choose one"]


def test_a_matrix_in_notebooks_yaml() -> None:
    text = "notebooks:\n- path: a.ipynb\n  parameters: {city: Rome, matrix: {days: [1, 2]}}"
    options = load_options(
        [], {k: v for k, v in ENV.items() if k != "NB_NOTEBOOKS"}, {"notebooks.yaml": text}.get
    )
    assert len(fan_out(options.notebooks[0].options.parameters)) == 2


# -- jobs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = notebook_json(code(1, "city = 'x'\ndays = 1\nkind = ''", "parameters"))
    (tmp_path / "a.ipynb").write_text(json.dumps(content))
    return tmp_path


def jobs(folder: Path, **env: str) -> list[dict[str, Any]]:
    options = load_options(
        [], ENV | {"NB_" + name.upper(): value for name, value in env.items()}, lambda _: None
    )
    request = RunRequest(date(2026, 7, 1), date(2026, 7, 1))
    made = build_plan(options, choose(options, Workspace(folder), request), request)
    description = describe(made, project="p", run="r")
    text = "\n".join(plan_lines(description))
    for one in description["jobs"]:
        assert f"{one['job']}: a.ipynb\n  parameters   {json.dumps(one['parameters'])}" in text
    if len(description["jobs"]) == 4:
        assert "4 jobs of 1 notebook, at most 4 at a time" in text
    return list(description["jobs"])


def test_plan_shows_each_job_with_its_parameters(folder: Path) -> None:
    made = jobs(folder, parameters='{"city": "Paris", "matrix": {"kind": ["a", "b"], "days": [7, 30]}}')
    assert {one["job"]: one["parameters"] for one in made} == {
        f"a-days-{days}-kind-{kind}": {"city": "Paris", "days": days, "kind": kind}
        for days in (7, 30)
        for kind in "ab"
    }
    assert {one["output"] for one in made} == {f"gs://bucket/ci/results/r/{one['job']}/" for one in made}


def test_a_name_in_the_matrix_must_be_declared_too(folder: Path) -> None:
    with pytest.raises(BadInput) as caught:
        jobs(folder, parameters='{"matrix": {"dayz": [1, 2]}}')
    assert "did you mean days" in str(caught.value)


def test_a_run_has_a_largest_number_of_jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "MAX_JOBS", 3)
    assert len(jobs(folder, parameters='{"matrix": {"days": [1, 2, 3]}}')) == 3
    with pytest.raises(BadInput, match="make 4 jobs; at most 3 in a run"):
        jobs(folder, parameters='{"matrix": {"days": [1, 2, 3, 4]}}')


def test_names_of_jobs() -> None:
    def names(*points: dict[str, Any], path: str = "etl/daily load.ipynb") -> list[str]:
        return job_slugs([path] * len(points), points)

    assert job_slugs(["etl/daily load.ipynb", "b.ipynb"]) == ["etl-daily-load", "b"]
    assert names({"days": 7, "city": "Köln"}) == ["etl-daily-load-city-koeln-days-7"]
    assert names({"city": "Köln", "days": 7}) == names({"days": 7, "city": "Köln"})  # order is no matter
    assert names({"d": -1}, {"d": 1}) == ["etl-daily-load-d-minus-1", "etl-daily-load-d-1"]
    assert names({"d": "2026-07-01"}, {"d": None}, {"d": True}, {"d": ""}, {"d": 0.5}) == [
        f"etl-daily-load-d-{told}" for told in ("2026-07-01", "null", "true", "empty", "0-5")
    ]
    one, other, third = names({"d": 1}, {"d": "1"}, {"d": 2})
    assert third == "etl-daily-load-d-2"
    assert one != other
    assert one.startswith("etl-daily-load-d-1-")
    assert names({"d": 1}, {"d": 2})[0] == "etl-daily-load-d-1"  # a hash only where two would collide
    assert all(len(name) < 120 for name in names({"d": "x" * 500}, {"d": "x" * 501}))
    assert len(set(names({"d": "x" * 500}, {"d": "x" * 501}))) == 2


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3), max_size=8, unique_by=repr))
def test_names_of_jobs_are_unique(points: list[dict[str, Any]]) -> None:
    told = {json.dumps(point, sort_keys=True) for point in points}
    if len(told) == len(points):
        assert len(set(job_slugs(["a.ipynb"] * len(points), points))) == len(points)


def test_the_folder_of_values_is_named_after_them() -> None:
    assert re.fullmatch("city=koeln,days=7-[0-9a-f]{8}", values_slug({"days": 7, "city": "Köln"}))
    assert values_slug({"a": 1, "b": 2}) == values_slug({"b": 2, "a": 1})
    alike = [{"d": value} for value in (1, "1", "../1", "1/", "!1", [1], None, "", "x" * 500, "x" * 501)]
    assert len({values_slug(values) for values in alike}) == len(alike)


@given(st.dictionaries(st.text(min_size=1), _VALUES, min_size=1, max_size=3))
def test_the_folder_of_values_is_one_folder_that_no_job_has(values: dict[str, Any]) -> None:
    assert re.fullmatch("[a-z0-9_,-]*=[a-z0-9_=,-]*", name := values_slug(values))
    assert len(name) <= 109
    assert "=" not in job_slugs([f"{name}.ipynb"])[0]


# -- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "PASSWORD", "dbPassword", "passwd", "token", "github_token", "authToken", "api_key", "apikey",
     "pad_auth_token", "token_pad", "API_KEY_2", "apiKey", "secret", "client_secret", "secret_prod", "AWS_SECRET_ACCESS_KEY", "private_key", "credentials", "pwd"],
)  # fmt: skip
def test_a_value_that_looks_like_a_secret_is_a_mistake(name: str) -> None:
    for values in (
        {name: "hunter2-x"},
        {"matrix": {name: ["hunter2-x"]}},
        {"config": {name: "hunter2-x"}},
        {"all": [{name: ["hunter2-x"]}]},
    ):
        (told,) = mistakes(parameters=json.dumps(values))
        assert "looks like a secret" in told
        assert "NB_ALLOW_SECRET_PARAMETERS=true" in told
        assert "hunter2" not in told
        assert job(parameters=json.dumps(values), allow_secret_parameters="true").parameters == values


@pytest.mark.parametrize(
    "name",
    ["days", "max_tokens", "tokenizer", "token_count", "secret_name", "password_length", "api_key_name", "token_url", "key", "keyword",
     "pad_token", "mask_token", "eosToken", "special_tokens", "primary_key", "monkey", "passenger", "secretary", "credit", "compass_word", "author", "access_log"],
)  # fmt: skip
def test_a_harmless_name_that_resembles_a_secret_is_accepted(name: str) -> None:
    assert job(parameters=json.dumps({name: "hunter2-x"})).parameters[name] == "hunter2-x"


@pytest.mark.parametrize(
    "value",
    ["", "  ", None, 12, 1.5, True, [], {}],
    ids=["empty", "blanks", "null", "integer", "fraction", "boolean", "list", "mapping"],
)
def test_only_text_can_be_a_secret(value: object) -> None:
    assert job(parameters=json.dumps({"token": value})).parameters == {"token": value}


@pytest.mark.parametrize(
    "value",
    ["AIza" + "x" * 35, "ghp_" + "a" * 36, "AKIA" + "A" * 16, "-----BEGIN RSA PRIVATE KEY-----\nx", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"], ids=["Google API key", "GitHub token", "AWS key id", "private key", "JSON web token"],
)  # fmt: skip
def test_a_value_that_shows_what_it_is(value: str) -> None:
    assert "looks like a secret" in mistakes(parameters=json.dumps({"x": value}))[0]


def test_values_of_a_file_entry_may_be_allowed_there() -> None:
    files = {
        "notebooks.yaml": "notebooks:\n- path: a.ipynb\n  parameters: {token: x}\n  allow_secret_parameters: true"
    }
    options = load_options([], {k: v for k, v in ENV.items() if k != "NB_NOTEBOOKS"}, files.get)
    assert options.notebooks[0].options.parameters == {"token": "x"}


def test_no_message_shows_a_value() -> None:
    for text in (
        '{"matrix": {"a": ["s3cret", "s3cret"]}}',
        '{"matrix": {"a": "s3cret"}}',
        '{"token": "s3cret"}',
    ):
        assert "s3cret" not in "".join(mistakes(parameters=text))
    with pytest.raises(InvalidValue) as caught:
        parse_parameters({"a b": "s3cret"})
    assert "s3cret" not in str(caught.value.faults)
