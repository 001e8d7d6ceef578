"""From a published message to the function: the CloudEvent, the permission, and retries after a failure."""

from __future__ import annotations

import base64

from tests.localcloud.functions.conftest import TOPIC, CloudFixture
from tests.polling import eventually


def test_a_message_reaches_the_function_as_a_cloud_event(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    identity = cloud_fixture.publish(b"hello", city="Paris")

    (line,) = cloud_fixture.await_events(1)

    event = line["event"]
    assert event["id"] == identity
    assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert event["source"] == f"//pubsub.googleapis.com/{TOPIC}"
    assert event["time"] == event["data"]["message"]["publishTime"]
    assert base64.b64decode(event["data"]["message"]["data"]) == b"hello"
    assert event["data"]["message"]["attributes"] == {"city": "Paris"}
    assert "/subscriptions/eventarc-us-central1-nightly-" in event["data"]["subscription"]
    eventually(lambda: cloud_fixture.backlog() == 0)


def test_the_function_runs_as_its_own_account_from_its_source_alone(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create(service_config__environment_variables={"CITY": "Paris"})
    cloud_fixture.bind()
    cloud_fixture.publish()

    (line,) = cloud_fixture.await_events(1)

    told = line["env"]
    assert told["CITY"] == "Paris"
    assert told["K_SERVICE"] == "nightly"
    assert told["K_REVISION"] == cloud_fixture.get().service_config.revision
    assert (
        told["GCE_METADATA_HOST"] == cloud_fixture.cloud.environment("notebook-function")["GCE_METADATA_HOST"]
    )
    assert (
        told["GCE_METADATA_HOST"] != cloud_fixture.cloud.environment("notebook-deployer")["GCE_METADATA_HOST"]
    )
    assert "PYTHONDONTWRITEBYTECODE" not in told
    assert not [path for path in line["path"] if path.rstrip("/").endswith(("/main", "/.venv/lib"))]


def test_without_the_binding_no_push_gets_through_and_with_it_the_next_does(
    cloud_fixture: CloudFixture,
) -> None:
    cloud_fixture.create()
    cloud_fixture.publish()
    eventually(lambda: "was not authorized" in cloud_fixture.log())
    assert cloud_fixture.events() == []
    assert cloud_fixture.backlog() == 1

    cloud_fixture.bind()

    cloud_fixture.await_redelivery(1)
    eventually(lambda: cloud_fixture.backlog() == 0)


def test_a_failure_is_delivered_again_if_the_trigger_retries(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    identity = cloud_fixture.publish(fail="yes")

    lines = cloud_fixture.await_redelivery(2)

    assert [line["event"]["id"] for line in lines[:2]] == [identity] * 2
    assert cloud_fixture.backlog() == 1


def test_a_failure_is_acknowledged_if_the_trigger_does_not_retry(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create(event_trigger__retry_policy=None)
    cloud_fixture.bind()
    cloud_fixture.publish(fail="yes")

    cloud_fixture.await_events(1)

    eventually(lambda: cloud_fixture.backlog() == 0)
    assert len(cloud_fixture.events()) == 1
