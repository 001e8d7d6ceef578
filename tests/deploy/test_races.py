"""Two deployments at once: the newer one stays, whole and alone, whichever of the two processes is slower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from builder.deploy.promotion import Request, promote
from builder.deploy.target import Outcome, Target
from builder.deploy.withdrawal import roll_back, undeploy
from builder.errors import EnvironmentFailed, ProjectSetup
from tests.deploy.place import source
from tests.deploy.shop import Shop


def meanwhile(shop: Shop, word: str, act: Callable[[], object]) -> Target:
    """Where to deploy, and what is to happen once a line that begins so is said."""
    pending = [act]

    def say(text: str) -> None:
        if text.startswith(word) and pending:
            pending.pop()()

    return replace(shop.target(), say=say)


def two_builds(shop: Shop) -> tuple[str, str]:
    older = shop.build()
    shop.place.cloud.clock.advance(60)
    return older, shop.build()


@pytest.mark.parametrize("standing", [False, True])
def test_of_two_at_once_the_newer_one_stays_with_its_schedule(shop: Shop, *, standing: bool) -> None:
    """The newer one begins and ends between the older one's look and its write; the older one then changes nothing."""
    if standing:
        shop.deploy()
        shop.place.cloud.clock.advance(60)
    older, newer = two_builds(shop)
    shop.options["LOCATION"] = "us-central1"
    shop.write("day = '2018-04-02'")
    shop.options |= {"BUILD_ID": older, "NB_SCHEDULE": "none"}
    request = shop.request()
    shop.prove(request)

    def other() -> None:
        shop.write("day = '2018-04-03'")
        shop.options |= {"BUILD_ID": newer, "NB_SCHEDULE": "0 9 * * 1"}
        again = shop.request()
        shop.prove(again, "run-9")
        promote(again, shop.target())

    target = meanwhile(shop, "archive", other)
    outcome = promote(request, target)
    assert not outcome.changed
    assert f"build {newer}" in outcome.message
    state = shop.state()
    assert state["live"]["schedule"]["cron"] == "0 9 * * 1"
    assert state["jobs"] == [("nightly", "0 9 * * 1", "ENABLED")]


def test_a_rollback_that_comes_too_late_leaves_what_is_live_with_its_schedule(shop: Shop) -> None:
    shop.deploy()
    shop.write("day = '2018-04-02'")
    shop.options["NB_SCHEDULE"] = "0 7 * * 1"
    shop.deploy()

    def other() -> None:
        shop.write("day = '2018-04-03'")
        shop.options["NB_SCHEDULE"] = "0 9 * * 1"
        shop.deploy()

    with pytest.raises(EnvironmentFailed, match="was not rolled back"):
        roll_back(meanwhile(shop, "leaving", other))
    state = shop.state()
    assert state["live"]["schedule"]["cron"] == "0 9 * * 1"
    assert state["jobs"] == [("nightly", "0 9 * * 1", "ENABLED")]


def prepared(shop: Shop, build: str, **options: str) -> Request:
    """A proven request of this build."""
    shop.options |= {"BUILD_ID": build, "LOCATION": "us-central1", **options}
    request = shop.request()
    shop.prove(request)
    return request


def both(shop: Shop, request: Request, word: str, newer: Callable[[], object]) -> Outcome:
    """Promote the request, and at a word of its log the newer one, with the options that it sets."""
    outcome = promote(request, meanwhile(shop, word, newer))
    assert not outcome.changed
    assert "is newer than this build" in outcome.message
    return outcome


@pytest.mark.parametrize("word", ["archive", "function nightly: deploying"])
def test_the_older_one_leaves_nothing_in_a_region_of_its_own(shop: Shop, word: str) -> None:
    shop.deploy()
    shop.place.cloud.clock.advance(60)
    older, newer = two_builds(shop)
    shop.write("day = '2018-04-02'")
    request = prepared(shop, older, NB_REGION="europe-west1")

    def other() -> None:
        shop.write("day = '2018-04-03'")
        promote(prepared(shop, newer, NB_REGION="us-central1"), shop.target())

    both(shop, request, word, other)
    found = shop.place.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["us-central1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["us-central1"]
    assert shop.target().places.known() == {shop.target().place}


def test_the_newer_one_s_code_stays(shop: Shop) -> None:
    """The newer one finds the older one's deployment under way, waits for it, and brings its own code; that is the last word."""
    older, newer = two_builds(shop)
    request = prepared(shop, older)
    newest = source(version=2)

    def other() -> None:
        shop.zip = newest
        shop.write("day = '2018-04-03'")
        promote(prepared(shop, newer), shop.target())

    both(shop, request, "function nightly created", other)
    shop.zip = newest
    assert not promote(shop.request(), shop.target()).changed, "its code is there already"


def test_undeployed_in_between_all_is_made_again(shop: Shop) -> None:
    request = shop.request()
    shop.prove(request)
    target = meanwhile(shop, "invoker", lambda: undeploy(shop.target()))
    assert promote(request, target).changed
    state = shop.state()
    assert (state["functions"], state["topics"]) == ([("nightly", "ACTIVE")], ["news"])
    assert shop.target().places.known() == {shop.target().place}
    assert not promote(shop.request(), shop.target()).changed


def test_undeployed_while_the_function_was_made_it_says_so_and_the_next_one_makes_it(shop: Shop) -> None:
    request = shop.request()
    shop.prove(request)
    target = meanwhile(shop, "function nightly created", lambda: undeploy(shop.target()))
    with pytest.raises(ProjectSetup, match=r"there is no topic projects/local-project/topics/news\."):
        promote(request, target)
    assert shop.live() is None
    assert promote(shop.request(), shop.target()).changed
    assert not promote(shop.request(), shop.target()).changed
