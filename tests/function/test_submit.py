"""An event becomes one live build, to which it adds nothing except itself."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.function.build import build_for
from builder.function.event import read_event
from builder.function.live import Live
from builder.options import schedule
from builder.options.google_names import run_id
from builder.options.message import MAX_MESSAGE
from tests.function.function_fixture import ADDRESS, FunctionFixture, new_id

OWN = hashlib.sha256(ADDRESS.encode()).hexdigest()[:8]  # in the names of this function's runs


def test_the_build_is_the_live_one_and_the_event(function_fixture: FunctionFixture) -> None:
    live, event_id = function_fixture.make_live(), new_id()
    own_id = f"{event_id}-{OWN}"
    delivery = function_fixture.deliver('{"today": "2018-04-01"}', event_id=event_id)
    assert delivery.acknowledged
    (shown,) = function_fixture.builds()
    assert delivery.line == {
        "severity": "INFO",
        "message": f"submitted build {shown['id']}: {function_fixture.build(shown['id'])['logUrl']}",
        "event": event_id,
        "build": shown["id"],
    }
    made = function_fixture.build(shown["id"])
    assert made["tags"] == [*live.build["tags"], f"event-{event_id}"]
    (step,) = made["steps"]
    own = live.build["steps"][0]["env"]
    assert step["env"][: len(own)] == own
    added = dict(entry.split("=", 1) for entry in step["env"][len(own) :])
    assert added.pop("NB_EVENT_TIME").endswith("Z")
    assert added == {
        "NB_RUN_ID": f"event-{own_id}",
        "NB_EVENT": '{"today": "2018-04-01"}',
        "NB_EVENT_ID": own_id,
    }
    for field in ("source", "timeout", "serviceAccount"):
        assert made[field] == live.build[field]


def test_a_message_of_attributes_alone_asks_for_nothing(function_fixture: FunctionFixture) -> None:
    assert function_fixture.deliver(None).acknowledged
    assert function_fixture.variables(function_fixture.builds()[0]["id"])["NB_EVENT"] == "{}"


@pytest.mark.always(5)
@pytest.mark.parametrize(
    "day",
    [
        "$HOME",
        "$$",
        "${BUILD_ID}",
        "$PROJECT_ID-$_X",
        "$(date)",
        "a 'b' \"c\" \\ d",
        pytest.param("line\nline\t", id="line breaks and tabs"),
        pytest.param("é😀", id="not ASCII"),
        "=",
    ],
)
def test_values_arrive_as_they_were_sent(function_fixture: FunctionFixture, day: str) -> None:
    raw = json.dumps({"parameters": {"day": day}}, ensure_ascii=False, indent=2)
    assert function_fixture.deliver(raw).acknowledged
    assert function_fixture.variables(function_fixture.builds()[0]["id"])["NB_EVENT"] == raw


@pytest.mark.always(3)
@pytest.mark.parametrize(
    "event_id",
    ["a/b?c", "$BUILD_ID", "x" * 200, "-1", "1_", "é"],
    ids=["slash", "dollar", "too long", "leading dash", "trailing underscore", "not ASCII"],
)
def test_an_odd_id_is_hashed_and_still_tells_duplicates(
    function_fixture: FunctionFixture, event_id: str
) -> None:
    given = event_id.encode().decode("latin-1")  # as it goes into a header
    assert function_fixture.deliver(event_id=given).acknowledged
    assert function_fixture.deliver(event_id=given).line["message"].startswith("duplicate of build ")
    (build,) = function_fixture.builds()
    assert len(build["tags"][-1]) == len("event-") + 40
    check_names(function_fixture, build["id"])


def test_refused_waiting_and_late_events_are_logged_under_their_own_id(
    function_fixture: FunctionFixture,
) -> None:
    function_fixture.make_live(name="waiting", builds_per_hour=1)
    assert function_fixture.deliver().line["severity"] == "INFO"
    own = '"id": "backfill-2018-04-01-1"'
    refused = function_fixture.deliver(f'{{{own}, "parameters": {{"unknown": 1}}}}').line
    waiting = function_fixture.deliver(f"{{{own}}}").line
    late = function_fixture.deliver(f"{{{own}}}", age=6 * 3600 + 5).line
    lines = (refused, waiting, late)
    assert [line["severity"] for line in lines] == ["ERROR", "WARNING", "ERROR"]
    assert [line["event"] for line in lines] == ["backfill-2018-04-01-1"] * 3


@pytest.mark.parametrize("own", ["backfill-2018-04-01-1", "y" * 45], ids=["dated", "45 letters"])
def test_two_messages_with_one_id_are_one_event(function_fixture: FunctionFixture, own: str) -> None:
    raw = json.dumps({"today": "2018-04-01", "id": own})
    assert function_fixture.deliver(raw).line["event"] == own
    assert function_fixture.deliver(raw).line["message"].startswith("duplicate of build ")
    (build,) = function_fixture.builds()
    assert build["tags"][-1] == f"event-{own}"
    check_names(function_fixture, build["id"])


@pytest.mark.parametrize(
    "event_id",
    ["1", "x" * 45, "x" * 46, "x" * 50],
    ids=["1 character", "45 characters", "46 characters", "50 characters"],
)
def test_ids_of_any_length_give_names_that_the_run_takes(
    function_fixture: FunctionFixture, event_id: str
) -> None:
    assert function_fixture.deliver(event_id=event_id).acknowledged
    check_names(function_fixture, function_fixture.builds()[0]["id"])


def check_names(function_fixture: FunctionFixture, build_id: str) -> None:
    """The run accepts the names that it is given, also with the -2 of a second run."""
    variables = function_fixture.variables(build_id)
    schedule.event_id.parse(variables["NB_EVENT_ID"])
    assert run_id.parse(variables["NB_RUN_ID"] + "-2") == f"event-{variables['NB_EVENT_ID']}-2"


@pytest.mark.parametrize(
    "text", ["{}", '{"parameters": {"day": "x", "share": 1, "rows": 2}}'], ids=["empty object", "parameters"]
)
def test_messages_that_are_fine(function_fixture: FunctionFixture, text: str) -> None:
    assert function_fixture.deliver(text).line["severity"] == "INFO"
    (build,) = function_fixture.builds()
    assert function_fixture.variables(build["id"])["NB_EVENT"] == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "  \n", "\t\r\n", "\u00a0\u2003"],
    ids=["empty", "space", "spaces and line feed", "tab and line breaks", "Unicode spaces"],
)
def test_a_message_of_blanks_is_no_unset_variable(function_fixture: FunctionFixture, text: str) -> None:
    """For the run an empty variable is unset. Without an event, CI's parameters would replace today's results."""
    assert function_fixture.deliver(text).line["severity"] == "INFO"
    (build,) = function_fixture.builds()
    assert function_fixture.variables(build["id"])["NB_EVENT"] == "{}"


@pytest.mark.parametrize("letter", ["x", "é", "$"], ids=["ASCII", "not ASCII", "dollar"])
def test_the_longest_message_fits_a_builds_variable(function_fixture: FunctionFixture, letter: str) -> None:
    room = MAX_MESSAGE - len(json.dumps({"parameters": {"day": ""}}))
    cost = len(letter.replace("$", "$$").encode())
    raw = json.dumps({"parameters": {"day": letter * (room // cost)}}, ensure_ascii=False)
    assert function_fixture.deliver(raw).line["severity"] == "INFO"
    assert function_fixture.variables(function_fixture.builds()[0]["id"])["NB_EVENT"] == raw


def test_another_functions_build_of_the_same_message_is_no_duplicate(
    function_fixture: FunctionFixture,
) -> None:
    """Two functions on one topic receive a message with the same ID, and each runs it once."""
    event_id = new_id()
    function_fixture.make_live(name="other")
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    live = function_fixture.make_live(name="mine")
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("duplicate of build ")
    newest, other = function_fixture.builds()
    assert newest["tags"] == [*live.build["tags"], f"event-{event_id}"]
    assert other["tags"][-1] == newest["tags"][-1]


def test_the_same_message_has_another_run_and_lock_for_another_function() -> None:
    event = read_event("1", "2026-07-01T06:00:00Z", {"message": {}})
    step = {"name": "x", "env": []}
    live = Live(
        "p", "us-central1", (), 12, {"steps": [step], "tags": []}, "projects/p/serviceAccounts/b@p", "t"
    )
    names = [build_for(live, event, f"gs://b/ci/live/{name}/live.json")["steps"][0]["env"] for name in "fgf"]
    assert names[0] == names[2]
    assert [entry for entry in names[0] if entry not in names[1]] == [names[0][0], names[0][2]]
    assert names[0][2].startswith("NB_EVENT_ID=1-")


def test_an_event_delivered_again_finds_its_build(function_fixture: FunctionFixture) -> None:
    event_id = new_id()
    for _ in range(3):
        delivery = function_fixture.deliver(event_id=event_id)
        assert delivery.acknowledged
    (build,) = function_fixture.builds()
    assert delivery.line["message"] == f"duplicate of build {build['id']}"


@pytest.mark.exhaustive
def test_a_thousand_duplicates_are_one_build(function_fixture: FunctionFixture) -> None:
    headers, body = function_fixture.event()
    with ThreadPoolExecutor(32) as pool:
        statuses = list(
            pool.map(lambda _: function_fixture.function.request("POST", body, headers), range(1000))
        )
    assert statuses == [200] * 1000
    assert len(function_fixture.builds()) == 1


def test_only_so_many_builds_in_an_hour(function_fixture: FunctionFixture) -> None:
    function_fixture.make_live(name="few", builds_per_hour=2)
    assert [function_fixture.deliver().line["severity"] for _ in range(4)] == [
        "INFO",
        "INFO",
        "WARNING",
        "WARNING",
    ]
    headers, body = function_fixture.event()  # Monday's own tick, behind a busy publisher's messages
    for _ in range(2):
        function_fixture.function.new_lines()
        assert function_fixture.function.request("POST", body, headers) == 500
        (line,) = function_fixture.function.new_lines()
        assert line["severity"] == "WARNING"
        assert "The last hour had 2 builds, as many as NB_BUILDS_PER_HOUR allows" in line["message"]
        assert "will be delivered again" in line["message"]
    assert len(function_fixture.builds()) == 2
    function_fixture.cloud.clock.advance(3602)
    assert function_fixture.function.request("POST", body, headers) == 200
    assert len(function_fixture.builds()) == 3


def test_an_event_whose_turn_never_came_is_an_error(function_fixture: FunctionFixture) -> None:
    function_fixture.make_live(name="none", builds_per_hour=1)
    assert function_fixture.deliver().line["severity"] == "INFO"
    delivery = function_fixture.deliver(age=6 * 3600 + 5)
    assert delivery.acknowledged
    assert delivery.line["severity"] == "ERROR"
    assert len(function_fixture.builds()) == 1


def test_a_late_event_is_no_longer_wanted(function_fixture: FunctionFixture) -> None:
    delivery = function_fixture.deliver(age=6 * 3600 + 5)
    assert delivery.acknowledged
    assert delivery.line["severity"] == "ERROR"
    assert "over 6 hours ago. Publish the message again if it is still wanted." in delivery.line["message"]
    assert function_fixture.deliver(age=6 * 3600 - 60).line["severity"] == "INFO"
    assert len(function_fixture.builds()) == 1


def test_a_late_delivery_of_a_message_that_has_its_build_is_no_error(
    function_fixture: FunctionFixture,
) -> None:
    headers, body = function_fixture.event()
    assert function_fixture.function.request("POST", body, headers) == 200
    function_fixture.cloud.clock.advance(7 * 3600)
    function_fixture.function.new_lines()
    assert function_fixture.function.request("POST", body, headers) == 200
    (line,) = function_fixture.function.new_lines()
    assert (line["severity"], line["message"][:19]) == ("INFO", "duplicate of build ")


def test_how_old_an_event_is_google_says_and_not_the_instance(function_fixture: FunctionFixture) -> None:
    headers, body = function_fixture.event()
    function_fixture.cloud.clock.advance(7 * 3600)
    assert function_fixture.function.request("POST", body, headers) == 200
    assert function_fixture.builds() == []


def test_a_request_that_is_no_event_is_dropped(function_fixture: FunctionFixture) -> None:
    headers, body = function_fixture.event()
    for changed, content in (
        ({**headers, "ce-time": "soon"}, body),
        (headers, b"[]"),
        (headers, b'{"message": 1}'),
        (headers, b'{"message": {"data": 5}}'),
    ):
        function_fixture.function.new_lines()
        assert function_fixture.function.request("POST", content, changed) == 200
        (line,) = function_fixture.function.new_lines()
        assert line["severity"] == "ERROR"
    assert function_fixture.builds() == []
