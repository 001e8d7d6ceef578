"""The message by itself: what it may ask for, and what it may not, in the function and in `run` alike."""

from __future__ import annotations

import json
from datetime import date

import pytest

from builder.options.message import (
    MAX_MESSAGE,
    AcceptedParameters,
    Message,
    MessageRefused,
    parameter_faults,
    read_message,
    run_event_id,
)

FRAME = len(json.dumps({"parameters": {"day": ""}}))
KEY = "AKIA" + "A1B2" * 4


def of(day: str) -> str:
    return json.dumps({"parameters": {"day": day}}, ensure_ascii=False)


def refusal(raw: str) -> str:
    with pytest.raises(MessageRefused) as told:
        read_message(raw)
    return str(told.value)


def test_a_blank_message_asks_for_nothing() -> None:
    assert read_message("") == read_message(" \n\t\u00a0") == read_message("{}") == Message()


def test_a_day_and_values() -> None:
    raw = '{"today": "2018-04-01", "parameters": {"share": 1e308, "rows": [1, null]}}'
    assert read_message(raw) == Message(date(2018, 4, 1), {"share": 1e308, "rows": [1, None]})


@pytest.mark.parametrize("day", ['"2018-02-30"', '"today"', "20180401", "null"])
def test_another_day_is_refused(day: str) -> None:
    assert refusal(f'{{"today": {day}}}') == "today: expected a day as YYYY-MM-DD"


@pytest.mark.parametrize(
    ("letter", "cost"),
    [("x", 1), ("é", 2), ("😀", 4), ("$", 2)],
    ids=["ASCII", "two bytes", "four bytes", "dollar"],
)
def test_it_is_as_long_as_a_builds_variable_may_be(letter: str, cost: int) -> None:
    most = (MAX_MESSAGE - FRAME) // cost
    assert read_message(of(letter * most)).parameters == {"day": letter * most}
    assert f"longer than {MAX_MESSAGE} bytes" in refusal(of(letter * (most + 1)))


@pytest.mark.parametrize(
    ("publish", "expected"),
    [
        pytest.param("true", Message(parameters={"day": "x"}, publish=True), id="true"),
        pytest.param("false", None, id="false"),
        pytest.param('"true"', None, id="text"),
        pytest.param("1", None, id="number"),
    ],
)
def test_publish_is_true_or_absent(publish: str, expected: Message | None) -> None:
    raw = f'{{"parameters": {{"day": "x"}}, "publish": {publish}}}'
    if expected is None:
        assert refusal(raw).startswith("publish: expected true")
    else:
        assert read_message(raw) == expected


@pytest.mark.parametrize(
    "own", ["ab", "backfill-2018-04-01-1", "x" * 45], ids=["short", "dated", "45 letters"]
)
def test_a_message_can_name_its_event(own: str) -> None:
    assert read_message(json.dumps({"id": own})) == Message(id=own)


@pytest.mark.parametrize(
    "own",
    ["", "a", "x" * 46, "1234567890123", "-ab", "ab-", "a/b", "é1", 12, None, ["ab"]],
    ids=["empty", "1", "46", "number in text", "dash", "end", "slash", "not ASCII", "number", "null", "list"],
)
def test_an_event_name_that_pubsub_could_give_or_no_name_can_hold_is_refused(own: object) -> None:
    assert refusal(json.dumps({"id": own})) == (
        "id: expected 2 to 45 letters, digits, - and _, the first a letter, the last a letter or digit"
    )


def test_text_that_is_no_utf_8_is_refused_and_breaks_nothing() -> None:
    assert "half of a surrogate pair" in refusal(of("\udc80"))


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "[1, {}, 1e999]".replace("{}", '{"x": 2e308}'), '{"x": [-9e999]}']
)
def test_a_number_beyond_all_floats_is_refused_wherever_it_stands(value: str) -> None:
    told = refusal(f'{{"parameters": {{"share": {value}}}}}')
    assert (
        told
        == "the message is no JSON that can be used: a number is too large; expected a finite one, or text"
    )


@pytest.mark.parametrize("value", ['"day: x"', '"{}"', "[]", "null", "1"])
def test_parameters_are_an_object_and_no_text_of_one(value: str) -> None:
    assert refusal(f'{{"parameters": {value}}}').startswith("parameters: expected an object")


def test_a_message_fans_out_into_no_jobs() -> None:
    told = refusal('{"parameters": {"matrix": {"day": ["x", "y"]}}}')
    assert told == "parameters: a message cannot fan out; matrix is no parameter's name"


def test_functions_on_one_topic_have_a_run_each() -> None:
    one, other = (run_event_id("12345", f"gs://bucket/ci/live/{name}/live.json") for name in ("a", "b"))
    assert one != other
    assert one.startswith("12345-")
    assert len(one) == len("12345-") + 8


def test_a_value_like_a_secret_is_refused_unless_each_notebook_allows_it() -> None:
    open_one, careful = (
        AcceptedParameters({"token": "string"}, allow_secrets=True),
        AcceptedParameters({"token": "string"}),
    )
    other = AcceptedParameters({"day": "string"})
    (told,) = parameter_faults({"token": "x"}, [open_one, careful])
    assert told.startswith("parameter token: looks like a secret")
    (told,) = parameter_faults({"day": KEY}, [open_one, other])
    assert told.startswith("parameter day: looks like a secret")
    assert KEY not in told
    assert list(parameter_faults({"token": "x"}, [open_one, other])) == []
    (told,) = parameter_faults({"password": "x"}, [open_one])
    assert "no notebook declares it" in told
