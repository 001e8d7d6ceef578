"""An event becomes one build of what is live, with the event and nothing else of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.function.world import World, new_id


def test_the_build_is_the_live_one_and_the_event(world: World) -> None:
    live, event_id = world.make_live(), new_id()
    told = world.deliver('{"today": "2018-04-01"}', event_id=event_id)
    assert told.acknowledged
    (shown,) = world.builds()
    assert told.line == {
        "severity": "INFO",
        "message": f"submitted build {shown['id']}: {world.build(shown['id'])['logUrl']}",
        "event": event_id,
        "build": shown["id"],
    }
    made = world.build(shown["id"])
    assert made["tags"] == [*live.build["tags"], f"event-{event_id}"]
    (step,) = made["steps"]
    own = live.build["steps"][0]["env"]
    assert step["env"][: len(own)] == own
    added = dict(entry.split("=", 1) for entry in step["env"][len(own) :])
    assert added.pop("NB_EVENT_TIME").endswith("Z")
    assert added == {
        "NB_RUN_ID": f"event-{event_id}",
        "NB_EVENT": '{"today": "2018-04-01"}',
        "NB_EVENT_ID": event_id,
    }
    for field in ("source", "timeout", "serviceAccount"):
        assert made[field] == live.build[field]


def test_a_message_of_attributes_alone_asks_for_nothing(world: World) -> None:
    assert world.deliver(None).acknowledged
    assert world.variables(world.builds()[0]["id"])["NB_EVENT"] == "{}"


@pytest.mark.parametrize(
    "day",
    [
        "$HOME",
        "$$",
        "${BUILD_ID}",
        "$PROJECT_ID-$_X",
        "$(date)",
        "a 'b' \"c\" \\ d",
        "line\nline\t",
        "é😀",
        "=",
    ],
)
def test_values_arrive_as_they_were_sent(world: World, day: str) -> None:
    raw = json.dumps({"parameters": {"day": day}}, ensure_ascii=False, indent=2)
    assert world.deliver(raw).acknowledged
    assert world.variables(world.builds()[0]["id"])["NB_EVENT"] == raw


@pytest.mark.parametrize("event_id", ["a/b?c", "$BUILD_ID", "x" * 200, "-1", "1_", "é"])
def test_an_odd_id_is_hashed_and_still_tells_duplicates(world: World, event_id: str) -> None:
    given = event_id.encode().decode("latin-1")  # as it goes into a header
    assert world.deliver(event_id=given).acknowledged
    assert world.deliver(event_id=given).line["message"].startswith("duplicate of build ")
    (build,) = world.builds()
    assert len(build["tags"][-1]) == len("event-") + 40


@pytest.mark.parametrize("text", ["{}", "", "  \n", '{"parameters": {"day": "x", "share": 1, "rows": 2}}'])
def test_messages_that_are_fine(world: World, text: str) -> None:
    assert world.deliver(text).line["severity"] == "INFO"
    assert len(world.builds()) == 1


def test_an_event_delivered_again_finds_its_build(world: World) -> None:
    event_id = new_id()
    for _ in range(3):
        told = world.deliver(event_id=event_id)
        assert told.acknowledged
    (build,) = world.builds()
    assert told.line["message"] == f"duplicate of build {build['id']}"


def test_a_thousand_duplicates_are_one_build(world: World) -> None:
    headers, body = world.event()
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: world.function.request("POST", body, headers), range(1000)))
    assert statuses == [200] * 1000
    assert len(world.builds()) == 1


def test_only_so_many_builds_in_an_hour(world: World) -> None:
    world.make_live(name="few", builds_per_hour=2)
    assert [world.deliver().line["severity"] for _ in range(4)] == ["INFO", "INFO", "ERROR", "ERROR"]
    told = world.deliver()
    assert told.acknowledged
    assert "the last hour had 2, as many as NB_BUILDS_PER_HOUR allows" in told.line["message"]
    assert len(world.builds()) == 2
    world.cloud.clock.advance(3602)
    assert world.deliver().line["severity"] == "INFO"


def test_a_late_event_is_no_longer_wanted(world: World) -> None:
    told = world.deliver(age=6 * 3600 + 5)
    assert told.acknowledged
    assert told.line["severity"] == "WARNING"
    assert "over 6 hours ago" in told.line["message"]
    assert world.deliver(age=6 * 3600 - 60).line["severity"] == "INFO"
    assert len(world.builds()) == 1


def test_how_old_an_event_is_google_says_and_not_the_instance(world: World) -> None:
    headers, body = world.event()
    world.cloud.clock.advance(7 * 3600)
    assert world.function.request("POST", body, headers) == 200
    assert world.builds() == []


def test_what_never_was_an_event_is_dropped(world: World) -> None:
    headers, body = world.event()
    for changed, content in (
        ({**headers, "ce-time": "soon"}, body),
        (headers, b"[]"),
        (headers, b'{"message": 1}'),
        (headers, b'{"message": {"data": 5}}'),
    ):
        world.function.new_lines()
        assert world.function.request("POST", content, changed) == 200
        (line,) = world.function.new_lines()
        assert line["severity"] == "ERROR"
    assert world.builds() == []
