"""Cloud Build's refusals: one table of broken builds, each with field and message."""

from __future__ import annotations

import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localcloud.engines.image_names import Image, parse_image
from localcloud.services.cloudbuild.rules import Problem, problems
from localcloud.services.cloudbuild.rules_substitutions import apply, builtin, undefined
from tests.localcloud.cloudbuild.broken_builds import BROKEN_BUILDS
from tests.localcloud.cloudbuild.broken_steps import BROKEN_STEPS
from tests.localcloud.cloudbuild.samples import Json, build_with

_REFUSED = BROKEN_STEPS | BROKEN_BUILDS
_VERSION = "projects/$PROJECT_ID/secrets/token/versions/latest"
_GOOD: Json = {
    "steps": [
        {
            "id": "fetch",
            "name": "gcr.io/cloud-builders/git",
            "args": ["clone", "--branch=$BRANCH_NAME", "https://example.com/${_REPO}", "."],
            "timeout": "300s",
        },
        {
            "id": "run",
            "name": "us-docker.pkg.dev/$PROJECT_ID/tools/notebook-builder:v1",
            "args": ["run"],
            "env": ["NB_RUN_ID=$BUILD_ID", "EMPTY="],
            "secretEnv": ["TOKEN"],
            "dir": "notebooks/../reports",
            "waitFor": ["fetch"],
        },
        {"name": "ubuntu@sha256:" + "0" * 64, "script": "echo $HOME $lower", "waitFor": ["-"], "dir": "/tmp"},
    ],
    "timeout": "3600s",
    "queueTtl": "600s",
    "serviceAccount": "projects/$PROJECT_ID/serviceAccounts/ci@$PROJECT_ID.iam.gserviceaccount.com",
    "tags": ["nightly", "$SHORT_SHA"],
    "images": ["us-docker.pkg.dev/$PROJECT_ID/tools/report:$SHORT_SHA"],
    "availableSecrets": {"secretManager": [{"versionName": _VERSION, "env": "TOKEN"}]},
    "substitutions": {"_REPO": "demo", "SHORT_SHA": "0123abc"},
    "options": {
        "env": ["A=1"],
        "machineType": "E2_HIGHCPU_8",
        "diskSizeGb": "200",
        "logging": "CLOUD_LOGGING_ONLY",
    },
}


@pytest.mark.parametrize("case", _REFUSED)
def test_a_broken_build_is_refused_where_it_is_broken(case: str) -> None:
    build, path, words = _REFUSED[case]
    found = [problem for problem in problems(build) if problem.path == path]
    assert any(words in problem.text for problem in found), problems(build)


_SEVERAL = {"dynamic: cycle"}


@pytest.mark.parametrize("case", [case for case in _REFUSED if case not in _SEVERAL])
def test_one_fault_is_one_problem(case: str) -> None:
    assert len(problems(_REFUSED[case][0])) == 1


def test_a_good_build_has_no_problem() -> None:
    values = builtin(
        project="demo", project_number="1", location="global", build_id="b", service_account_email="ci@demo"
    )
    assert problems(_GOOD) == []
    assert undefined(_GOOD) == []
    assert problems(apply(_GOOD, values)) == []


def test_faults_that_substitutions_cause_are_found_after_them() -> None:
    build = build_with(images=["gcr.io/p/x:$TAG_NAME"], tags=["$TAG_NAME"])
    assert problems(build) == []
    found = problems(apply(build, {}))
    assert [problem.path for problem in found] == [("images", 0)]


def test_an_argument_is_measured_after_substitution() -> None:
    build = build_with(steps=[{"name": "ubuntu", "args": ["$$A" + "x" * 9_998, "$_LONG" * 4]}])
    build["substitutions"] = {"_LONG": "x" * 3_000}
    assert problems(build) == []
    found = problems(apply(build, {}), substituted=True)
    assert [problem.path for problem in found] == [("steps", 0, "args", 1)]


def test_a_build_at_every_limit_has_no_problem() -> None:
    build = {
        "steps": [{"name": "a", "args": ["x" * 10_000] * 100, "timeout": "86400s"}],
        "timeout": "86400s",
        "queueTtl": "86400s",
        "tags": ["t" * 128] * 64,
        "availableSecrets": {
            "secretManager": [{"versionName": _VERSION, "env": f"S{number}"} for number in range(100)]
        },
        "substitutions": {f"_{number}": "x" * 4000 for number in range(200)},
        "options": {"secretEnv": [f"S{number}" for number in range(100)]},
    }
    assert problems(build) == []


def test_all_problems_come_at_once_and_in_order_of_the_file() -> None:
    build = {
        "timeout": "0s",
        "steps": [{"waitFor": ["x"], "name": "U", "args": ["a"], "script": "s"}, {}],
        "substitutions": {"A": ""},
        "tags": ["?"],
    }
    assert [problem.path for problem in problems(build)] == [
        ("timeout",),
        ("steps", 0, "waitFor", 0),
        ("steps", 0, "name"),
        ("steps", 0, "args"),
        ("steps", 1, "name"),
        ("substitutions", "A"),
        ("tags", 0),
    ]


_TEXT = st.sampled_from(
    ["", "-", "a", "A=b", "$_X", "${_X:-$Y}", "gs://b", "0s", "9" * 30 + "s", "/workspace", "\udc80"]
)
_SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_KEYS = sorted(
    {
        *_GOOD,
        *_GOOD["steps"][0],
        *_GOOD["steps"][1],
        *_GOOD["options"],
        *(
            "script",
            "secretManager",
            "inline",
            "envMap",
            "secretEnv",
            "versionName",
            "pool",
        ),
        *("images", "_X", "dynamicSubstitutions", "defaultLogsBucketBehavior"),
    }
)
_ANYTHING = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(_KEYS), _ANYTHING))
@example({"substitutions": {"_X": "\udc80", "\udc80": ""}})
def test_no_json_makes_the_rules_raise(build: Json) -> None:
    before = copy.deepcopy(build)
    for problem in [*problems(build), *undefined(build), *problems(apply(build, {}))]:
        assert isinstance(problem, Problem)
    assert repr(build) == repr(before)


@pytest.mark.parametrize(
    "wrong",
    [None, 1, "x", [], {}, [1], {"a": 1}],
    ids=["null", "number", "text", "empty list", "empty object", "list", "object"],
)
@pytest.mark.parametrize("field", sorted(_GOOD))
def test_values_of_a_wrong_type_are_left_to_the_schema(field: str, wrong: object) -> None:
    problems(_GOOD | {field: wrong})
    for key in ("name", "args", "env", "dir", "waitFor", "timeout", "secretEnv"):
        problems({"steps": [{"name": "ubuntu", key: wrong}, wrong]})


@pytest.mark.parametrize(
    ("name", "image", "basename"),
    [
        pytest.param("ubuntu", Image("ubuntu", None, None), "ubuntu", id="name alone"),
        pytest.param("localhost:5000/a/b:v1.2", Image("localhost:5000/a/b", "v1.2", None), "b", id="tag"),
        pytest.param(
            "eu.gcr.io/p/x@sha256:" + "a" * 64,
            Image("eu.gcr.io/p/x", None, "sha256:" + "a" * 64),
            "x",
            id="digest",
        ),
        pytest.param(
            "x:v@sha256:" + "a" * 64, Image("x", "v", "sha256:" + "a" * 64), "x", id="tag and digest"
        ),
    ],
)
def test_image_names(name: str, image: Image, basename: str) -> None:
    assert parse_image(name) == image
    assert image.basename == basename


@pytest.mark.parametrize(
    "name",
    ["", "A", "a:", "a/", "/a", "a//b", "a b", "a@sha256:1", "https://a", "a:b:c"],
    ids=[
        "empty",
        "upper case",
        "empty tag",
        "slash at the end",
        "slash at the start",
        "two slashes",
        "space",
        "short digest",
        "scheme",
        "two tags",
    ],
)
def test_no_image_names(name: str) -> None:
    assert parse_image(name) is None
