"""Who may publish to the topic chooses a day and declared parameters; every other message ends in one line of the log."""

from __future__ import annotations

import json

import pytest

from builder.options.message import LONGEST_MESSAGE
from tests.function.world import World, new_id

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
def test_a_message_names_no_project_account_bucket_notebook_or_image(world: World, field: str) -> None:
    told = world.deliver(json.dumps({field: CANARY}))
    assert told.acknowledged
    assert told.line["severity"] == "ERROR"
    assert f"'{field}' is no field of a message" in told.line["message"]
    assert CANARY not in world.function.log()
    assert world.builds() == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"parameters": {"image": CANARY}},
            "parameter image: no notebook declares it; declared: day, rows, share",
        ),
        ({"parameters": {"day": {"x": CANARY}}}, "parameter day: expected a string"),
        ({"parameters": {"share": CANARY}}, "parameter share: expected a number"),
        ({"parameters": {"rows": 1.5}}, "parameter rows: expected an integer"),
        ({"parameters": {"rows": True}}, "parameter rows: expected an integer"),
        ({"parameters": {"day": "AKIA" + "A1B2" * 4}}, "parameter day: looks like a secret"),
        ({"parameters": f"day: {CANARY}"}, "parameters: expected an object"),
        ({"parameters": {"matrix": {"day": [CANARY]}}}, "a message cannot fan out"),
        ({"parameters": [CANARY]}, "parameters: "),
        ({"today": CANARY}, "today: expected a day as YYYY-MM-DD"),
        ([CANARY], "expected an object"),
        ({"parameters": {"x y": 1}, "bucket": 1}, "'bucket' is no field of a message"),
    ],
)
def test_what_is_asked_for_is_declared_and_of_its_kind(world: World, message: object, words: str) -> None:
    event_id = new_id()
    told = world.deliver(json.dumps(message), event_id=event_id)
    assert told.acknowledged
    assert (told.line["severity"], told.line["event"]) == ("ERROR", event_id)
    assert "No build was submitted" in told.line["message"]
    assert words in told.line["message"]
    assert CANARY not in world.function.log()
    assert world.builds() == []


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        CANARY.encode(),
        b'{"today": "2018-04-01", "today": "2018-04-02"}',
        b'{"parameters": {"share": NaN}}',
        b'{"parameters": {"share": 1e400}}',
        b"[" * 5000,
        b"\xff\xfe",
        json.dumps({"parameters": {"day": CANARY + "x" * LONGEST_MESSAGE}}).encode(),
        json.dumps({"parameters": {"day": CANARY + "$" * (LONGEST_MESSAGE // 2)}}).encode(),
    ],
)
def test_what_is_no_message_is_refused(world: World, raw: bytes) -> None:
    told = world.deliver(raw)
    assert told.acknowledged
    assert told.line["severity"] == "ERROR"
    assert CANARY not in world.function.log()
    assert world.builds() == []


@pytest.mark.parametrize("data", ["?", "YQ", "é", 5, ["e30="]])
def test_data_that_is_no_base64_is_refused(world: World, data: object) -> None:
    told = world.deliver("", data=data)
    assert told.acknowledged
    assert "expected base64 of UTF-8" in told.line["message"]
    assert world.builds() == []


def test_a_refused_message_costs_no_call(world: World) -> None:
    world.fault("storage.objects.get", "error", status=503)
    assert world.deliver("{").acknowledged
    assert world.deliver("{}").status == 500  # the fault was still there
