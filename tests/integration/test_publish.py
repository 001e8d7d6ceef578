"""A day's folder with two runs at it, through Google's client: interleaved, killed, with replies that are lost.

Every order: tests/unit.
"""

from __future__ import annotations

import json

import pytest

from builder.act.folder_claim import ClaimRequest, FolderLost, claim_folder
from builder.act.publish import Published, Publisher
from builder.model import Verdict
from builder.ports import CallFailed
from tests.integration.cloud_fixture import CloudFixture
from tests.publishing import GREEN, RED, Day, InOrder, Publishing, Stepped, a_run_killed, two_runs


@pytest.fixture
def day(cloud_fixture: CloudFixture) -> Day:
    return Day(cloud_fixture.store())


@pytest.mark.parametrize(
    ("pair", "before"),
    [
        pytest.param("green-green", "green", id="green-green-green", marks=pytest.mark.exhaustive),
        pytest.param("red-green", "red", id="red-green-red"),
        pytest.param("green-red", "nothing", id="green-red-nothing", marks=pytest.mark.exhaustive),
    ],
)
def test_of_two_runs_of_a_day_one_is_there_whole(cloud_fixture: CloudFixture, pair: str, before: str) -> None:
    store = cloud_fixture.store()
    for first in range(2, 13, 2):
        two_runs(Day(store), pair, before, first, 1_000 if first % 4 else 5)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("verdict", "before"), [(GREEN, "green"), (RED, "nothing")], ids=["green", "red"])
def test_after_a_crash_at_any_call_the_next_run_is_there_whole(
    cloud_fixture: CloudFixture, verdict: Verdict, before: str
) -> None:
    store = cloud_fixture.store()
    crashes = [a_run_killed(Day(store), verdict, before, calls) for calls in range(3, 17)]
    assert crashes[0]
    assert not crashes[-1]


@pytest.mark.parametrize("before", [None, RED], ids=["nothing", "red"])
def test_the_later_of_two_green_runs_wins(day: Day, before: Verdict | None) -> None:
    if before is not None:
        day.publish("old", before)
    one = Publishing(day, "one", GREEN)
    one.advance(6)
    assert day.publish("two", GREEN) == "day"
    one.advance()
    assert one.where == "own"
    assert day.whole() == "two"


def test_a_red_run_leaves_a_day_to_a_green_one_that_was_killed_in_it(day: Day) -> None:
    assert day.killed("killed", GREEN, 5)
    assert "result.json" not in day.names()
    assert day.publish("red", RED) == "own"
    assert day.publish("next", GREEN) == "day"
    assert day.whole() == "next"


def test_lost_replies_are_no_other_run(day: Day, cloud_fixture: CloudFixture) -> None:
    day.publish("old", GREEN)
    for name in ("*/locks/*", "*/versions/*"):
        cloud_fixture.fault("storage.objects.insert", "drop_after", times=2, match={"name": name})
    for method in ("rewrite", "delete"):
        cloud_fixture.fault(f"storage.objects.{method}", "drop_after", times=2)
    assert day.publish("new", GREEN) == "day"
    assert day.whole() == "new"


def test_a_claim_that_cannot_be_marked_as_done_leaves_the_result_published(
    day: Day, cloud_fixture: CloudFixture
) -> None:
    cloud_fixture.fault(
        "storage.objects.insert", "error", status=503, skip=1, times=100, match={"name": "*/locks/*"}
    )
    assert day.publish("one", GREEN) == "day"
    assert day.whole() == "one"


def test_a_run_whose_green_results_were_replaced_reports_it(day: Day) -> None:
    assert day.published("red", RED).replaced == ""
    assert day.published("one", GREEN).replaced == "", "red results are no loss"
    assert day.published("one", GREEN).replaced == "", "its own"
    assert day.published("two", GREEN).replaced == "one"
    assert day.published("late", RED).replaced == ""


def test_an_unreadable_claim_is_nobodys(day: Day) -> None:
    lock = day.location.object("locks", "versions", "2018-04-01", "demo.json")
    for content in (b"", b"{", b"[]", b'{"state": "publishing"}'):
        day.store.replace(lock, content, content_type="application/json")
        assert day.publish("one", RED) == "day"
    assert json.loads(day.store.read(lock) or b"")["state"] == "done"


def test_without_permission_to_read_nothing_is_published(day: Day, cloud_fixture: CloudFixture) -> None:
    cloud_fixture.fault("storage.objects.list", "error", status=403, message="no")
    with pytest.raises(CallFailed):
        day.publish("one", GREEN)
    assert day.names() == set()


def test_a_run_s_own_folder_costs_no_claim(day: Day) -> None:
    calls: list[int] = []
    stepped = Stepped(day.store, before=lambda: calls.append(1))
    own = day.own("one")
    publisher = Publisher(stepped, day.location, InOrder())  # type: ignore[arg-type]
    published = publisher.publish(own, own, day.publication("one", GREEN))
    (result,) = day.store.list(own + "result.json")
    assert published == Published(own, result.generation)
    assert day.whole(own) == "one"
    assert len(calls) == 6, "list, three copies, log, result"


def test_a_red_run_takes_no_folder_whose_claim_it_cannot_read(day: Day) -> None:
    lock = day.location.object("locks", "x.json")
    red = ClaimRequest("red", green=False, names=("a",))
    day.store.replace(lock, b'{"schema": 2}', content_type="application/json")
    assert claim_folder(day.store, lock, day.folder, red) is None
    day.store.delete(lock)
    assert claim_folder(day.store, lock, day.folder, red) is not None
    day.store.delete(lock)


def test_a_run_whose_folder_was_claimed_reports_it(day: Day) -> None:
    lock = day.location.object("locks", "x.json")
    first = claim_folder(day.store, lock, day.folder, ClaimRequest("one", green=True, names=("a",)))
    assert first is not None
    first.check()
    second = claim_folder(day.store, lock, day.folder, ClaimRequest("two", green=True, names=("b",)))
    assert second is not None
    second.check()
    assert claim_folder(day.store, lock, day.folder, ClaimRequest("red", green=False, names=("b",))) is None
    with pytest.raises(FolderLost) as lost:
        first.finish()
    assert lost.value.names == frozenset({"b"})
    day.store.delete(lock)
    with pytest.raises(FolderLost) as lost:
        second.check()
    assert lost.value.names is None
