"""Two deployments at once: only the newer one stays, and it is complete, whichever process is slower."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from builder.deploy.context import DeploymentContext
from builder.deploy.promotion import PromotionRequest, promote
from builder.deploy.withdrawal import roll_back, undeploy
from builder.errors import EnvironmentFailed, ProjectSetup
from tests.deploy.cloud_fixture import source
from tests.deploy.deployment_fixture import DeploymentFixture, changed
from tests.listed_calls import unlisted


@contextlib.contextmanager
def meanwhile(
    deployment_fixture: DeploymentFixture, word: str, act: Callable[[], object]
) -> Iterator[DeploymentContext]:
    """The context of a deployment that calls `act` once, when it logs a line that begins with `word`."""
    pending = [act]

    def log(text: str) -> None:
        if text.startswith(word) and pending:
            pending.pop()()

    yield replace(deployment_fixture.context(), log=log)
    assert pending == [], f"no line begins with {word!r}"


def two_builds(deployment_fixture: DeploymentFixture) -> tuple[str, str]:
    older = deployment_fixture.build()
    deployment_fixture.cloud_fixture.cloud.clock.advance(60)
    return older, deployment_fixture.build()


def overtaken(deployment_fixture: DeploymentFixture, *, deployed: bool) -> str:
    """The report of a deployment between whose look and write a newer one begins and ends."""
    if deployed:
        deployment_fixture.deploy()
        deployment_fixture.cloud_fixture.cloud.clock.advance(60)
    older, newer = two_builds(deployment_fixture)
    deployment_fixture.options["LOCATION"] = "us-central1"
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.options |= {"BUILD_ID": older, "NB_SCHEDULE": "none"}
    request = deployment_fixture.request()
    deployment_fixture.prove(request)

    def other() -> None:
        deployment_fixture.write("day = '2018-04-03'")
        deployment_fixture.options |= {"BUILD_ID": newer, "NB_SCHEDULE": "0 9 * * 1"}
        again = deployment_fixture.request()
        deployment_fixture.prove(again, "run-9")
        promote(again, deployment_fixture.context())

    with meanwhile(deployment_fixture, "archive", other) as context:
        message = promote(request, context)
    assert f"build {newer}" in message
    return message


@pytest.mark.parametrize("deployed", [False, True])
def test_of_two_at_once_the_newer_one_stays_with_its_schedule(
    deployment_fixture: DeploymentFixture, *, deployed: bool
) -> None:
    """The older one changes nothing."""
    assert not changed(overtaken(deployment_fixture, deployed=deployed))
    state = deployment_fixture.state()
    assert state["live"]["schedule"]["cron"] == "0 9 * * 1"
    assert state["jobs"] == [("nightly", "0 9 * * 1", "ENABLED")]
    calls = deployment_fixture.cloud_fixture.calls()
    assert unlisted(calls) == [], "Google calls without a row in builder/gcp/call_table.py"


@pytest.mark.exhaustive
def test_a_late_rollback_leaves_the_live_version_with_its_schedule(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.options["NB_SCHEDULE"] = "0 7 * * 1"
    deployment_fixture.deploy()

    def other() -> None:
        deployment_fixture.write("day = '2018-04-03'")
        deployment_fixture.options["NB_SCHEDULE"] = "0 9 * * 1"
        deployment_fixture.deploy()

    with (
        meanwhile(deployment_fixture, "leaving", other) as context,
        pytest.raises(EnvironmentFailed, match="deploy --rollback` did not change it"),
    ):
        roll_back(context)
    state = deployment_fixture.state()
    assert state["live"]["schedule"]["cron"] == "0 9 * * 1"
    assert state["jobs"] == [("nightly", "0 9 * * 1", "ENABLED")]


def prepared(deployment_fixture: DeploymentFixture, build: str, **options: str) -> PromotionRequest:
    """A proven request of this build."""
    deployment_fixture.options |= {"BUILD_ID": build, "LOCATION": "us-central1", **options}
    request = deployment_fixture.request()
    deployment_fixture.prove(request)
    return request


def both(
    deployment_fixture: DeploymentFixture, request: PromotionRequest, word: str, newer: Callable[[], object]
) -> str:
    """Promote the request, and call `newer` when the log has a line that begins with `word`."""
    with meanwhile(deployment_fixture, word, newer) as context:
        message = promote(request, context)
    assert not changed(message)
    assert "is newer than this build" in message
    return message


@pytest.mark.always(1)
@pytest.mark.parametrize("word", ["archive", "function nightly: deploying"])
def test_the_older_one_leaves_nothing_in_a_region_of_its_own(
    deployment_fixture: DeploymentFixture, word: str
) -> None:
    deployment_fixture.deploy()
    deployment_fixture.cloud_fixture.cloud.clock.advance(60)
    older, newer = two_builds(deployment_fixture)
    deployment_fixture.write("day = '2018-04-02'")
    request = prepared(deployment_fixture, older, NB_REGION="europe-west1")

    def other() -> None:
        deployment_fixture.write("day = '2018-04-03'")
        promote(prepared(deployment_fixture, newer, NB_REGION="us-central1"), deployment_fixture.context())

    both(deployment_fixture, request, word, other)
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["us-central1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["us-central1"]
    assert deployment_fixture.context().locations.known() == {deployment_fixture.context().location}


def test_the_newer_one_s_code_stays(deployment_fixture: DeploymentFixture) -> None:
    """The newer one waits for the older one's deployment of the function and then brings its own code, which stays."""
    older, newer = two_builds(deployment_fixture)
    request = prepared(deployment_fixture, older)
    newest = source(version=2)

    def other() -> None:
        deployment_fixture.zip = newest
        deployment_fixture.write("day = '2018-04-03'")
        promote(prepared(deployment_fixture, newer), deployment_fixture.context())

    both(deployment_fixture, request, "function nightly created", other)
    deployment_fixture.zip = newest
    assert not changed(promote(deployment_fixture.request(), deployment_fixture.context())), (
        "its code is there already"
    )


@pytest.mark.exhaustive
def test_undeployed_in_between_all_is_made_again(deployment_fixture: DeploymentFixture) -> None:
    request = deployment_fixture.request()
    deployment_fixture.prove(request)
    undeployed = lambda: undeploy(deployment_fixture.context())  # noqa: E731
    with meanwhile(deployment_fixture, "invoker", undeployed) as context:
        assert changed(promote(request, context))
    state = deployment_fixture.state()
    assert (state["functions"], state["topics"]) == ([("nightly", "ACTIVE")], ["news"])
    assert deployment_fixture.context().locations.known() == {deployment_fixture.context().location}
    assert not changed(promote(deployment_fixture.request(), deployment_fixture.context()))


def test_a_deployment_that_comes_between_the_steps_of_an_undeploy_stays(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()

    def other() -> None:
        store, name = deployment_fixture.store(), "ci/live/nightly/live.json"
        store.replace(name, store.read(name) or b"", content_type="application/json")

    with (
        meanwhile(deployment_fixture, "schedule nightly deleted", other) as context,
        pytest.raises(EnvironmentFailed, match="deploy --undeploy` did not change it"),
    ):
        undeploy(context)
    assert deployment_fixture.live() is not None


@pytest.mark.exhaustive
def test_undeployed_while_the_function_was_made_it_says_so_and_the_next_one_makes_it(
    deployment_fixture: DeploymentFixture,
) -> None:
    request = deployment_fixture.request()
    deployment_fixture.prove(request)
    undeployed = lambda: undeploy(deployment_fixture.context())  # noqa: E731
    with (
        meanwhile(deployment_fixture, "function nightly created", undeployed) as context,
        pytest.raises(ProjectSetup, match=r"there is no topic projects/local-project/topics/news\."),
    ):
        promote(request, context)
    assert deployment_fixture.live() is None
    assert changed(promote(deployment_fixture.request(), deployment_fixture.context()))
    assert not changed(promote(deployment_fixture.request(), deployment_fixture.context()))
