"""`deploy --backfill`: which days get a message, within NB_BUILDS_PER_HOUR, and what it says about the others."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from builder.deploy.backfill import backfill
from builder.errors import ExitCode, InputRefused, NoCapacity
from builder.options.day import DayRange, day_of, read_range
from builder.options.message import run_event_id
from localcloud.core.iam import PROJECT
from tests.deploy.deployment_fixture import BUCKET, DeploymentFixture
from tests.owner import signed
from tests.patience import PATIENCE
from tests.polling import eventually

PUBLISH = "pubsub.projects.topics.publish"
DAYS = read_range("2018-04-01..2018-04-03")


def messages(fixture: DeploymentFixture, days: str = str(DAYS)) -> list[dict[str, Any]]:
    """Return the messages of a backfill that publishes all of them."""
    assert not backfill(read_range(days), fixture.context()).startswith("0 messages")
    return pulled(fixture)


def subscribe(fixture: DeploymentFixture) -> None:
    """Make a subscription that keeps what is published."""
    topic = {"topic": f"projects/{PROJECT}/topics/news"}
    call(fixture, "PUT", f"projects/{PROJECT}/subscriptions/reader", topic)


def pulled(fixture: DeploymentFixture) -> list[dict[str, Any]]:
    """Return the messages that wait in the subscription, by day."""
    body = {"maxMessages": 100, "returnImmediately": True}
    answer = call(fixture, "POST", f"projects/{PROJECT}/subscriptions/reader:pull", body)
    found = [json.loads(b64decode(one["message"]["data"])) for one in answer.get("receivedMessages", ())]
    return sorted(found, key=lambda message: str(message["today"]))


def call(fixture: DeploymentFixture, verb: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    cloud = fixture.cloud_fixture.cloud
    answer = requests.request(
        verb, f"{cloud.url}/v1/{path}", json=body, headers=signed(cloud.iam), timeout=PATIENCE
    )
    answer.raise_for_status()
    return dict(answer.json())


def build(fixture: DeploymentFixture, event: str, script: str = "true") -> str:
    """Create a build as the function does for an event. Returns its ID."""
    wanted = {
        "steps": [{"name": "bash", "args": ["-c", script]}],
        "options": {"logging": "NONE"},
        "tags": ["nb-live-nightly", f"event-{event}"],
    }
    made = call(fixture, "POST", f"projects/{PROJECT}/locations/us-central1/builds", wanted)
    return str(made["metadata"]["build"]["id"])


def ended(fixture: DeploymentFixture, build_id: str) -> bool:
    state = fixture.clients.builds.get(build_id, "us-central1")
    return state is not None and state.ended


def result(
    fixture: DeploymentFixture,
    day: str,
    verdict: str,
    *,
    job: str = "demo",
    notebook: str = "demo.ipynb",
    run: str = "run-9",
    schema: int = 1,
) -> None:
    """Write the result of a job of a day."""
    content = {"schema": schema, "notebook": notebook, "verdict": verdict, "run": run}
    write(fixture, f"ci/versions/{day}/{job}/result.json", content)


def lock(fixture: DeploymentFixture, event: str, function: str = "nightly") -> None:
    """Write the lock of an event's run, which has ended."""
    name = run_event_id(event, f"gs://{BUCKET}/ci/live/{function}/live.json")
    write(fixture, f"ci/locks/{name}", {"schema": 1, "state": "done"})


def write(fixture: DeploymentFixture, name: str, content: Mapping[str, Any]) -> None:
    fixture.store("notebook-scheduler").replace(
        name, json.dumps(content).encode(), content_type="application/json"
    )


@pytest.fixture
def live(deployment_fixture: DeploymentFixture) -> DeploymentFixture:
    """Something that is live, by at most two builds an hour, and a subscription that keeps the messages."""
    deployment_fixture.options["NB_BUILDS_PER_HOUR"] = "2"
    deployment_fixture.deploy()
    subscribe(deployment_fixture)
    deployment_fixture.cloud_fixture.logged.clear()
    return deployment_fixture


def test_days_without_results_get_a_message_each_until_the_hour_is_full(live: DeploymentFixture) -> None:
    with pytest.raises(NoCapacity) as left:
        backfill(DAYS, live.context())
    assert left.value.exit_code is ExitCode.NO_CAPACITY
    assert left.value.message == (
        "2 messages were published, 0 days have a build that has not ended, and 0 days have green results. "
        "The function starts at most 2 builds in an hour (NB_BUILDS_PER_HOUR), so 2018-04-03..2018-04-03 must wait."
    )
    assert "Run `deploy --backfill 2018-04-01..2018-04-03` again in an hour" in left.value.advice
    assert pulled(live) == [
        {"today": "2018-04-01", "id": "backfill-2018-04-01-1"},
        {"today": "2018-04-02", "id": "backfill-2018-04-02-1"},
    ]
    assert live.cloud_fixture.logged == [
        "2018-04-01: published, as event backfill-2018-04-01-1",
        "2018-04-02: published, as event backfill-2018-04-02-1",
    ]


def test_builds_of_the_last_hour_count_and_older_ones_do_not(live: DeploymentFixture) -> None:
    for event in ("1", "2"):
        build(live, event)
    with pytest.raises(NoCapacity, match=r"^0 messages were published"):
        backfill(DAYS, live.context())
    assert pulled(live) == []
    live.cloud_fixture.cloud.clock.advance(3601)
    assert len(messages(live, "2018-04-01..2018-04-02")) == 2


def test_green_days_stay_and_red_and_incomplete_ones_are_run(live: DeploymentFixture) -> None:
    result(live, "2018-04-01", "green")
    result(live, "2018-04-02", "red")
    result(live, "2018-04-03", "green", job="other", notebook="other.ipynb")  # of another deployment
    assert [message["today"] for message in messages(live)] == ["2018-04-02", "2018-04-03"]
    assert live.cloud_fixture.logged[0] == "2018-04-01: already has green results; not run again"


def test_a_second_backfill_publishes_the_same_event_and_leaves_days_that_run(live: DeploymentFixture) -> None:
    one = "2018-04-01..2018-04-01"
    assert messages(live, one) == [{"today": "2018-04-01", "id": "backfill-2018-04-01-1"}]
    # The function has not submitted a build yet, and will submit one for both messages.
    assert messages(live, one)[-1] == {"today": "2018-04-01", "id": "backfill-2018-04-01-1"}
    running = build(live, "backfill-2018-04-01-1", "sleep 600")
    assert backfill(read_range(one), live.context()).startswith("0 messages")
    assert live.cloud_fixture.logged[-1].startswith(f"2018-04-01: build {running} of an earlier backfill")


def test_the_end_counts_messages_days_that_run_and_green_days(live: DeploymentFixture) -> None:
    build(live, "backfill-2018-04-01-1", "sleep 600")
    result(live, "2018-04-02", "green")
    assert backfill(DAYS, live.context()) == (
        "1 message was published, 1 day has a build that has not ended, and 1 day has green results."
    )
    assert [message["today"] for message in pulled(live)] == ["2018-04-03"]


def test_only_the_last_run_of_a_notebook_counts(live: DeploymentFixture) -> None:
    result(live, "2018-04-01", "red", job="demo-removed", run="run-1")  # a matrix value that is gone
    result(live, "2018-04-01", "green", job="demo-a", run="run-2")
    result(live, "2018-04-01", "green", job="demo-b", run="run-2")
    result(live, "2018-04-02", "green", job="demo-removed", run="run-1")
    result(live, "2018-04-02", "red", job="demo-a", run="run-2")
    result(live, "2018-04-02", "green", job="demo-b", run="run-2")
    assert [message["today"] for message in messages(live, "2018-04-01..2018-04-02")] == ["2018-04-02"]


def test_results_of_message_values_and_of_a_later_version_do_not_make_a_day_green(
    live: DeploymentFixture,
) -> None:
    result(live, "2018-04-01", "green", job="city=paris-1a2b3c4d/demo")
    result(live, "2018-04-02", "green", schema=2)
    assert len(messages(live, "2018-04-01..2018-04-02")) == 2


def test_a_day_that_was_red_gets_another_event(live: DeploymentFixture) -> None:
    was_red = build(live, "backfill-2018-04-01-1", "exit 1")
    eventually(lambda: ended(live, was_red))
    result(live, "2018-04-01", "red")
    assert messages(live, "2018-04-01..2018-04-01") == [
        {"today": "2018-04-01", "id": "backfill-2018-04-01-2"}
    ]


def test_an_event_that_ran_in_another_region_is_not_published_again(live: DeploymentFixture) -> None:
    lock(live, "backfill-2018-04-01-2")
    lock(live, "backfill-2018-04-01-10")
    lock(live, "backfill-2018-04-01-50", function="another")
    assert messages(live, "2018-04-01..2018-04-01") == [
        {"today": "2018-04-01", "id": "backfill-2018-04-01-11"}
    ]


def test_a_day_whose_event_has_a_lock_and_a_build_that_has_not_ended_gets_no_message(
    live: DeploymentFixture,
) -> None:
    lock(live, "backfill-2018-04-01-3")
    build(live, "backfill-2018-04-01-3", "sleep 600")
    assert backfill(read_range("2018-04-01..2018-04-01"), live.context()).startswith("0 messages")


def test_a_lost_reply_publishes_one_event_twice(live: DeploymentFixture) -> None:
    live.cloud_fixture.fault(PUBLISH, "drop_after")
    found = messages(live, "2018-04-01..2018-04-01")
    assert found == [{"today": "2018-04-01", "id": "backfill-2018-04-01-1"}] * 2


def test_a_day_in_the_future_is_refused_and_nothing_is_published(live: DeploymentFixture) -> None:
    today = day_of(datetime.fromtimestamp(live.cloud_fixture.cloud.clock.now(), UTC), "UTC")
    days = DayRange(today, today + timedelta(days=1))
    with pytest.raises(InputRefused) as refused:
        backfill(days, live.context())
    assert refused.value.message == (
        f"--backfill is {days}, and {days.last} is after today, which is {today} in Etc/UTC."
    )
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    assert pulled(live) == []


def test_without_a_deployment_no_day_is_run(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.request()
    with pytest.raises(InputRefused, match=r"live.json does not exist: nothing is live") as refused:
        backfill(DAYS, deployment_fixture.context())
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    assert PUBLISH not in deployment_fixture.cloud_fixture.calls()
