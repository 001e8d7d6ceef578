"""A message chooses a day and declared parameters. Every other message ends with one line in the log."""

from __future__ import annotations

import json

import pytest

from builder.options.message import MAX_MESSAGE
from tests.function.function_fixture import FunctionFixture, new_id

CANARY = "canary-7c1f"


@pytest.mark.parametrize(
    "field",
    [
        *("project", "PROJECT_ID", "account", "serviceAccount", "bucket", "location", "NB_GCS_LOCATION"),
        *(
            "notebook",
            "notebooks",
            "image",
            "steps",
            "env",
            "tags",
            "matrix",
            "setup",
            "requirements",
            "NB_EVENT",
        ),
    ],
)
def test_a_message_names_no_project_account_bucket_notebook_or_image(
    function_fixture: FunctionFixture, field: str
) -> None:
    delivery = function_fixture.deliver(json.dumps({field: CANARY}))
    assert delivery.acknowledged
    assert delivery.line["severity"] == "ERROR"
    assert f"'{field}' is no field of a message" in delivery.line["message"]
    assert CANARY not in function_fixture.function.log()
    assert function_fixture.builds() == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            {"parameters": {"image": CANARY}},
            "parameter image: no notebook declares it; declared: day, rows, share",
            id="undeclared parameter",
        ),
        pytest.param(
            {"parameters": {"day": {"x": CANARY}}},
            "parameter day: expected a string",
            id="object for a string",
        ),
        pytest.param(
            {"parameters": {"share": CANARY}}, "parameter share: expected a number", id="string for a number"
        ),
        pytest.param(
            {"parameters": {"rows": 1.5}}, "parameter rows: expected an integer", id="fraction for an integer"
        ),
        pytest.param(
            {"parameters": {"rows": True}}, "parameter rows: expected an integer", id="boolean for an integer"
        ),
        pytest.param(
            {"parameters": {"day": "AKIA" + "A1B2" * 4}}, "parameter day: looks like a secret", id="secret"
        ),
        pytest.param(
            {"parameters": f"day: {CANARY}"}, "parameters: expected an object", id="text for the parameters"
        ),
        pytest.param({"parameters": {"matrix": {"day": [CANARY]}}}, "a message cannot fan out", id="matrix"),
        pytest.param({"parameters": [CANARY]}, "parameters: ", id="list for the parameters"),
        pytest.param({"today": CANARY}, "today: expected a day as YYYY-MM-DD", id="today is no day"),
        pytest.param([CANARY], "expected an object", id="list for the message"),
        pytest.param(
            {"parameters": {"x y": 1}, "bucket": 1}, "'bucket' is no field of a message", id="unknown field"
        ),
    ],
)
def test_requested_parameters_are_declared_and_of_their_type(
    function_fixture: FunctionFixture, message: object, words: str
) -> None:
    event_id = new_id()
    delivery = function_fixture.deliver(json.dumps(message), event_id=event_id)
    assert delivery.acknowledged
    assert (delivery.line["severity"], delivery.line["event"]) == ("ERROR", event_id)
    assert "No build was submitted" in delivery.line["message"]
    assert words in delivery.line["message"]
    assert CANARY not in function_fixture.function.log()
    assert function_fixture.builds() == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"{", id="half of an object"),
        pytest.param(CANARY.encode(), id="text"),
        pytest.param(b'{"today": "2018-04-01", "today": "2018-04-02"}', id="field given twice"),
        pytest.param(b'{"parameters": {"share": NaN}}', id="NaN"),
        pytest.param(b'{"parameters": {"share": 1e400}}', id="endless number"),
        pytest.param(b"[" * 5000, id="nested too deeply"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(json.dumps({"parameters": {"day": CANARY + "x" * MAX_MESSAGE}}).encode(), id="too long"),
        pytest.param(
            json.dumps({"parameters": {"day": CANARY + "$" * (MAX_MESSAGE // 2)}}).encode(),
            id="too long once escaped",
        ),
    ],
)
def test_an_invalid_message_is_refused(function_fixture: FunctionFixture, raw: bytes) -> None:
    delivery = function_fixture.deliver(raw)
    assert delivery.acknowledged
    assert delivery.line["severity"] == "ERROR"
    assert CANARY not in function_fixture.function.log()
    assert function_fixture.builds() == []


@pytest.mark.parametrize(
    "data", ["?", "YQ", "é", 5, ["e30="]], ids=["odd character", "no padding", "not ASCII", "number", "list"]
)
def test_data_that_is_no_base64_is_refused(function_fixture: FunctionFixture, data: object) -> None:
    delivery = function_fixture.deliver("", data=data)
    assert delivery.acknowledged
    assert "expected base64 of UTF-8" in delivery.line["message"]
    assert function_fixture.builds() == []


def test_a_refused_message_costs_no_call(function_fixture: FunctionFixture) -> None:
    function_fixture.fault("storage.objects.get", "error", status=503)
    assert function_fixture.deliver("{").acknowledged
    assert function_fixture.deliver("{}").status == 500  # the fault was still there
