"""Substitutions: references, unknown keys, and replaced values."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.cloudbuild import rules_dynamic
from localcloud.services.cloudbuild.names import BUILTIN_KEYS, MAX_SUBSTITUTIONS, MAX_VALUE_LENGTH
from localcloud.services.cloudbuild.rules import problems
from localcloud.services.cloudbuild.rules_substitutions import (
    TRIGGER_KEYS,
    apply,
    builtin,
    has_reference,
    step_variables,
    undefined,
)

Json = dict[str, Any]

_BUILTIN = builtin(
    project="demo", project_number="12", location="global", build_id="b-1", service_account_email="ci@demo"
)


def _build(*args: str, **fields: Any) -> Json:
    return {"steps": [{"name": "ubuntu", "args": list(args)}], **fields}


def _applied(arg: str, **substitutions: str) -> str:
    result: str = apply(_build(arg, substitutions=substitutions), _BUILTIN)["steps"][0]["args"][0]
    return result


def _dynamic(**substitutions: str) -> Json:
    return _build(*(f"${key}" for key in substitutions), substitutions=substitutions) | {
        "options": {"dynamicSubstitutions": True}
    }


def _resolved(value: str, **others: str) -> str:
    build = _dynamic(_RESULT=value, **others)
    result: str = apply(build, _BUILTIN)["steps"][0]["args"][0]
    return result


@pytest.mark.parametrize(
    ("written", "replaced"),
    [
        ("$_A", "x"),
        ("${_A}", "x"),
        ("a$_A-b", "ax-b"),
        ("${_A}B", "xB"),
        ("$_AB", "long"),  # the longest name counts, and _AB is another one
        ("$_Ab", "xb"),
        ("$PROJECT_ID/$BUILD_ID", "demo/b-1"),
        ("$SERVICE_ACCOUNT", "projects/demo/serviceAccounts/ci@demo"),
        ("[$COMMIT_SHA]", "[]"),  # known to Cloud Build, but no trigger has set it
        ("$SHORT_SHA", "0123abc"),
        ("$$_A", "$_A"),
        ("$$$_A", "$x"),
        ("$$$$", "$$"),
        ("$${_A}", "${_A}"),
        ("$lower ${lower} $(date) $1 $", "$lower ${lower} $(date) $1 $"),
        ("${_A", "${_A"),
        ("${_A:-y} ${_A:0:1}", "${_A:-y} ${_A:0:1}"),  # expansions are for values, not for steps
    ],
)
def test_references(written: str, replaced: str) -> None:
    assert _applied(written, _A="x", _AB="long", SHORT_SHA="0123abc") == replaced


def test_a_value_is_not_read_again() -> None:
    assert _applied("$_A", _A="$_B $$", _B="no") == "$_B $$"


@given(st.text(st.characters(exclude_characters="$")))
def test_text_without_a_dollar_stays(text: str) -> None:
    assert _applied(text) == text


@given(st.text("$A{}_a: ", max_size=12))
def test_doubled_dollars_come_back_single(text: str) -> None:
    assert _applied(text.replace("$", "$$")) == text
    assert not has_reference(text.replace("$", "$$"))


def test_every_field_that_takes_substitutions() -> None:
    build = {
        "steps": [
            {
                "name": "$_A",
                "args": ["$_A"],
                "env": ["K=$_A"],
                "dir": "$_A",
                "entrypoint": "$_A",
                "script": "$_A",
                "id": "$_A",
                "waitFor": ["$_A"],
                "secretEnv": ["$_A"],
            }
        ],
        "images": ["$_A"],
        "tags": ["$_A"],
        "serviceAccount": "$_A",
        "options": {"env": ["K=$_A"], "secretEnv": ["$_A"]},
        "artifacts": {"images": ["$_A"]},
        "availableSecrets": {"secretManager": [{"versionName": "$_A", "env": "$_A"}]},
        "substitutions": {"_A": "x"},
    }
    step = {"name": "x", "args": ["x"], "env": ["K=x"], "dir": "x", "entrypoint": "x"}
    assert apply(build, _BUILTIN) == {
        "steps": [step | {"script": "$_A", "id": "$_A", "waitFor": ["$_A"], "secretEnv": ["$_A"]}],
        "images": ["x"],
        "tags": ["x"],
        "serviceAccount": "x",
        "options": {"env": ["K=x"], "secretEnv": ["$_A"]},
        "artifacts": {"images": ["x"]},
        "availableSecrets": {"secretManager": [{"versionName": "x", "env": "$_A"}]},
        "substitutions": {"_A": "x"},
    }


def test_a_key_that_is_used_must_be_given() -> None:
    [problem] = undefined(_build("x", "${_WHO}"))
    assert problem.path == ("steps", 0, "args", 1)
    assert problem.text == 'key in the template "_WHO" is not matched in the substitution data'


@pytest.mark.parametrize("key", ["_WHO", "SHORT_SHA"])
def test_a_key_that_is_given_must_be_used(key: str) -> None:
    [problem] = undefined(_build("x", substitutions={key: "1"}))
    assert problem.path == ("substitutions", key)
    assert problem.text == f'key "{key}" in the substitution data is not matched in the template'


def test_an_expansion_in_a_step_is_no_use_of_the_key() -> None:
    [problem] = undefined(_build("${_WHO:-me}", substitutions={"_WHO": "1"}))
    assert problem.path == ("substitutions", "_WHO")


def test_a_script_is_no_use_of_a_key() -> None:
    build = {"steps": [{"name": "ubuntu", "script": "echo $_WHO $_OTHER"}], "substitutions": {"_WHO": "1"}}
    assert [problem.path for problem in undefined(build)] == [("substitutions", "_WHO")]


@pytest.mark.parametrize("option", [None, "MUST_MATCH", "ALLOW_LOOSE"])
@pytest.mark.parametrize("name", ["$HOME", "${HOME}", "$State"])
def test_no_build_has_a_built_in_of_another_name(name: str, option: str | None) -> None:
    [problem] = undefined(_build(name, options={"substitutionOption": option}))
    key = "S" if name == "$State" else "HOME"
    words = f"invalid value for 'build.substitutions': key in the template \"{key}\" is not a valid built-in substitution"
    assert problem.text.startswith(words)
    assert f"$${key}" in problem.text


def test_built_in_ones_are_always_known() -> None:
    assert undefined(_build(*(f"${key}" for key in sorted(BUILTIN_KEYS)))) == []
    assert set(_BUILTIN) == BUILTIN_KEYS - TRIGGER_KEYS


def test_loose_matching_forgives_and_leaves_nothing() -> None:
    build = _build("[$_WHO]", substitutions={"_UNUSED": "1"}, options={"substitutionOption": "ALLOW_LOOSE"})
    assert undefined(build) == []
    assert apply(build, {})["steps"][0]["args"] == ["[]"]


# Switches: of the build's options, of the step, and what comes of the two.
@pytest.mark.parametrize(
    "switches",
    [(True, None, True), (None, True, True), (True, False, False), (None, None, False), (False, True, True)],
    ids=["build on", "step on", "step off", "neither", "step on, build off"],
)
def test_automap(switches: tuple[bool | None, bool | None, bool]) -> None:
    of_build, of_step, mapped = switches
    step = {"name": "ubuntu", "script": "echo $_WHO"} | (
        {} if of_step is None else {"automapSubstitutions": of_step}
    )
    build = {"steps": [step], "substitutions": {"_WHO": "me", "TAG_NAME": "v1"}}
    if of_build is not None:
        build["options"] = {"automapSubstitutions": of_build}
    empty = dict.fromkeys(["COMMIT_SHA", "SHORT_SHA", "BRANCH_NAME", "REPO_NAME", "REPO_FULL_NAME"], "")
    expected = empty | _BUILTIN | {"_WHO": "me", "TAG_NAME": "v1"} if mapped else {}
    assert step_variables(build, step, _BUILTIN) == expected
    assert bool(undefined(build)) is not mapped


_CASES = [
    "${_V}",
    "a-$_V-b",
    "${_E:-none}",
    "${_E:-${_V}}",
    "${_E:-$_W-x}",
    "${_V:-none}",
    r"${_E:-a\}b\/c}",
]
_VARIABLES = {"_V": "feature/extra/tree.case", "_W": "LOUD", "_E": ""}


@pytest.mark.parametrize("value", _CASES)
def test_expansions_agree_with_bash(value: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'printf %s "{value}"'], env=_VARIABLES, capture_output=True, text=True, check=True
    )
    assert _resolved(value, **_VARIABLES) == done.stdout
    build = _dynamic(_RESULT=value, **_VARIABLES)
    assert [*rules_dynamic.not_covered(build), *rules_dynamic.problems(build)] == []


def test_values_may_refer_to_built_in_ones_and_to_each_other() -> None:
    build = _dynamic(_IMAGE="$_HOST/${PROJECT_ID}/app:${TAG_NAME:-latest}", _HOST="${LOCATION}.example.com")
    assert undefined(build) == []
    result = apply(build, _BUILTIN)
    assert result["substitutions"]["_IMAGE"] == "global.example.com/demo/app:latest"
    assert result["steps"][0]["args"] == ["global.example.com/demo/app:latest", "global.example.com"]
    assert step_variables(build, {"automapSubstitutions": True}, _BUILTIN)["_HOST"] == "global.example.com"


def test_a_dollar_in_a_dynamic_value() -> None:
    assert _resolved("$$_V $(date) $1", _V="x") == "$_V $(date) $1"


def test_a_key_that_only_a_dynamic_value_uses_is_used() -> None:
    build = _build("$_A", substitutions={"_A": "$_B", "_B": "x"}, options={"dynamicSubstitutions": True})
    assert undefined(build) == []
    build["options"] = {}
    assert [problem.path for problem in undefined(build)] == [("substitutions", "_B")]


def test_a_dynamic_value_may_not_use_an_unknown_key() -> None:
    [problem] = undefined(_dynamic(_A="$_B"))
    assert problem.path == ("substitutions", "_A")


@pytest.mark.parametrize(
    "value",
    [
        "${_V:0:7}",
        "${_V^^}",
        "${_V#*/}",
        "${_V%%/*}",
        "${_V//a/b}",
        "${_V@Q}",
        "${_V",
        "${_V:=x}",
        "${!_V}",
        "${#_V}",
        "${_V:-${_W}",
        "${lower}",
        "${}",
    ],
)
def test_other_expansions_are_not_covered(value: str) -> None:
    build = _dynamic(_A=value, _V="", _W="")
    ((key, words),) = rules_dynamic.not_covered(build)
    assert (key, "neither ${X} nor ${X:-default}" in words) == ("_A", True)
    assert apply(build, {})["steps"][0]["args"][0] == ""


def test_defaults_inside_each_other_are_covered_to_a_depth() -> None:
    assert _resolved("${_E:-" * 50 + "x" + "}" * 50, _E="") == "x"
    build = _dynamic(_A="${_E:-" * 600 + "x" + "}" * 600, _E="")
    assert [words for _, words in rules_dynamic.not_covered(build)] == [
        "it has more than 50 defaults inside each other"
    ]
    assert apply(build, {})["steps"][0]["args"][0] == ""


def test_a_chain_of_as_many_values_as_a_build_may_have() -> None:
    chain = {f"_A{n}": f"$_A{n + 1}" for n in range(MAX_SUBSTITUTIONS - 1)}
    assert _resolved("$_A0", **chain, **{f"_A{MAX_SUBSTITUTIONS - 1}": "x"}) == "x"


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        pytest.param({"_A": "$_A"}, ["_A"], id="itself"),
        pytest.param(
            {"_A": "${_B:-$_C}", "_B": "", "_C": "x${_D:-$_A}", "_D": ""},
            ["_A", "_C"],
            id="through two defaults",
        ),
        pytest.param({"_A": "$_B", "_B": "$_C", "_C": ""}, [], id="no cycle"),
    ],
)
def test_cycles(values: dict[str, str], wrong: list[str]) -> None:
    found = rules_dynamic.problems(_dynamic(**values))
    assert [problem.path[1] for problem in found] == wrong
    assert all("cycle in evaluating substitutions" in problem.text for problem in found)
    apply(_dynamic(**values), {})


@given(st.text("${}_AB:-/#%^,*[]\\x0", max_size=14), st.text("ABx/", max_size=6))
def test_no_dynamic_value_makes_anything_raise(value: str, other: str) -> None:
    build = _dynamic(_A=value, _B=other)
    list(rules_dynamic.not_covered(build))
    rules_dynamic.problems(build)
    undefined(build)
    apply(build, {})


@given(
    st.dictionaries(
        st.sampled_from(["_A", "_B", "_C"]), st.text(st.characters(exclude_characters="$")), min_size=1
    )
)
def test_plain_values_are_the_same_dynamic_or_not(values: dict[str, str]) -> None:
    build = _dynamic(**values)
    assert apply(build, {})["steps"] == apply(build | {"options": {}}, {})["steps"]


def test_values_that_double_are_too_long_instead_of_endless() -> None:
    values = {"_S0": "a" * 10} | {f"_S{n}": f"${{_S{n - 1}}}" * 2 for n in range(1, 100)}
    build = _dynamic(**values)
    assert problems(build) == []
    found = apply(build, _BUILTIN)
    assert max(map(len, found["substitutions"].values())) == MAX_VALUE_LENGTH + 1
    [first, *_] = problems(found, substituted=True)
    assert first.text == 'invalid .substitutions field: substitution value of "_S9" too long (max: 4000)'


def test_an_evaluated_value_is_not_evaluated_again() -> None:
    build = _dynamic(_A="$$_A")
    found = apply(build, _BUILTIN)
    assert found["substitutions"] == {"_A": "$_A"}
    assert problems(found, substituted=True) == []
