"""The message by itself: what it may ask for, and what it may not, in the function and in `run` alike."""

from __future__ import annotations

import json
from datetime import date

import pytest

from builder.options.message import (
    LONGEST_MESSAGE,
    Declared,
    Message,
    MessageRefused,
    read_message,
    unfit_parameters,
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


@pytest.mark.parametrize(
    ("letter", "cost"),
    [("x", 1), ("é", 2), ("😀", 4), ("$", 2)],
    ids=["ASCII", "two bytes", "four bytes", "dollar"],
)
def test_it_is_as_long_as_a_builds_variable_may_be(letter: str, cost: int) -> None:
    most = (LONGEST_MESSAGE - FRAME) // cost
    assert read_message(of(letter * most)).parameters == {"day": letter * most}
    assert f"longer than {LONGEST_MESSAGE} bytes" in refusal(of(letter * (most + 1)))


def test_text_that_is_no_utf_8_is_refused_and_breaks_nothing() -> None:
    assert "half of a surrogate pair" in refusal(of("\udc80"))


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "[1, {}, 1e999]".replace("{}", '{"x": 2e308}'), '{"x": [-9e999]}']
)
def test_a_number_beyond_all_floats_is_refused_wherever_it_stands(value: str) -> None:
    told = refusal(f'{{"parameters": {{"share": {value}}}}}')
    assert told == "a number in it is too large; give a finite one, or text"


@pytest.mark.parametrize("value", ['"day: x"', '"{}"', "[]", "null", "1"])
def test_parameters_are_an_object_and_no_text_of_one(value: str) -> None:
    assert refusal(f'{{"parameters": {value}}}').startswith("parameters: expected an object")


def test_what_looks_like_a_secret_is_refused_unless_every_taker_allows_it() -> None:
    open_one, careful = Declared({"token": "string"}, allow_secrets=True), Declared({"token": "string"})
    other = Declared({"day": "string"})
    (told,) = unfit_parameters({"token": "x"}, [open_one, careful])
    assert told.startswith("parameter token: looks like a secret")
    (told,) = unfit_parameters({"day": KEY}, [open_one, other])
    assert told.startswith("parameter day: looks like a secret")
    assert KEY not in told
    assert list(unfit_parameters({"token": "x"}, [open_one, other])) == []
    (told,) = unfit_parameters({"password": "x"}, [open_one])
    assert "no notebook declares it" in told
