"""From a published message to the function: the CloudEvent, who may deliver it, what becomes of a failure."""

from __future__ import annotations

import base64

from tests.localcloud.functions.conftest import TOPIC, World, await_true


def test_a_message_reaches_the_function_as_a_cloud_event(world: World) -> None:
    world.create()
    world.bind()
    identity = world.publish(b"hello", city="Paris")

    (line,) = world.await_events(1)

    event = line["event"]
    assert event["id"] == identity
    assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert event["source"] == f"//pubsub.googleapis.com/{TOPIC}"
    assert event["time"] == event["data"]["message"]["publishTime"]
    assert base64.b64decode(event["data"]["message"]["data"]) == b"hello"
    assert event["data"]["message"]["attributes"] == {"city": "Paris"}
    assert "/subscriptions/eventarc-us-central1-nightly-" in event["data"]["subscription"]
    await_true(lambda: world.backlog() == 0)


def test_the_function_runs_as_its_own_account_from_its_source_alone(world: World) -> None:
    world.create(service_config__environment_variables={"CITY": "Paris"})
    world.bind()
    world.publish()

    (line,) = world.await_events(1)

    told = line["env"]
    assert told["CITY"] == "Paris"
    assert told["K_SERVICE"] == "nightly"
    assert told["K_REVISION"] == world.get().service_config.revision
    assert told["GCE_METADATA_HOST"] == world.cloud.environment("function")["GCE_METADATA_HOST"]
    assert told["GCE_METADATA_HOST"] != world.cloud.environment("deployer")["GCE_METADATA_HOST"]
    assert "PYTHONDONTWRITEBYTECODE" not in told
    assert not [path for path in line["path"] if path.rstrip("/").endswith(("/main", "/.venv/lib"))]


def test_without_the_binding_no_push_gets_through_and_with_it_the_next_does(world: World) -> None:
    world.create()
    world.publish()
    await_true(lambda: "was not authorized" in world.log())
    assert world.events() == []
    assert world.backlog() == 1

    world.bind()

    world.await_redelivery(1)
    await_true(lambda: world.backlog() == 0)


def test_a_failure_is_delivered_again_if_the_trigger_retries(world: World) -> None:
    world.create()
    world.bind()
    identity = world.publish(fail="yes")

    lines = world.await_redelivery(2)

    assert [line["event"]["id"] for line in lines[:2]] == [identity] * 2
    assert world.backlog() == 1


def test_a_failure_is_acknowledged_if_the_trigger_does_not_retry(world: World) -> None:
    world.create(event_trigger__retry_policy=None)
    world.bind()
    world.publish(fail="yes")

    world.await_events(1)

    await_true(lambda: world.backlog() == 0)
    assert len(world.events()) == 1
