"""Subscriptions by Google's own client: settings, pull, deadlines on the virtual clock, permissions."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.core.iam import email
from localcloud.core.iam.predefined import PERMISSIONS
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, TOPIC, CloudFixture, data, refusal


@pytest.fixture(autouse=True)
def _topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()


def test_a_subscription_has_google_s_defaults(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.subscription()
    assert (made.name, made.topic) == (SUBSCRIPTION, TOPIC)
    assert made.ack_deadline_seconds == 10
    assert made.message_retention_duration.days == 7
    assert not made.push_config.push_endpoint
    assert "retry_policy" not in made
    client = cloud_fixture.subscriber()
    assert client.get_subscription(subscription=SUBSCRIPTION) == made
    assert list(client.list_subscriptions(project=PROJECT)) == [made]
    words = "Resource already exists in the project (resource=reader)."
    assert refusal(cloud_fixture.subscription) == ("ALREADY_EXISTS", words)
    client.delete_subscription(subscription=SUBSCRIPTION)
    missing = ("NOT_FOUND", "Resource not found (resource=reader).")
    for call in (
        lambda: client.get_subscription(subscription=SUBSCRIPTION),
        lambda: client.delete_subscription(subscription=SUBSCRIPTION),
        lambda: client.pull(subscription=SUBSCRIPTION, max_messages=1),
        lambda: client.acknowledge(subscription=SUBSCRIPTION, ack_ids=["local-1"]),
    ):
        assert refusal(call) == missing


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param(
            {"topic": f"{PROJECT}/topics/nothing"}, "NOT_FOUND", "Resource not found (resource=nothing).",
            id="no such topic",
        ),
        pytest.param(
            {"topic": "nonsense"}, "INVALID_ARGUMENT", "Invalid resource name given (name=nonsense).",
            id="no topic's name",
        ),
        pytest.param(
            {"topic": "projects/other/topics/news"}, "PERMISSION_DENIED", "User not authorized",
            id="topic of another project",
        ),
        pytest.param({"ack_deadline_seconds": 30}, "UNIMPLEMENTED", "'ackDeadlineSeconds'", id="deadline"),
        pytest.param({"filter": 'attributes.a = "b"'}, "UNIMPLEMENTED", "'filter'", id="filter"),
        pytest.param(
            {"enable_exactly_once_delivery": True}, "UNIMPLEMENTED", "'enableExactlyOnceDelivery'",
            id="exactly once",
        ),
        pytest.param({"push_config": {"push_endpoint": "http://127.0.0.1:1/"}}, "UNIMPLEMENTED", "'pushConfig'", id="push"),
    ],
)  # fmt: skip
def test_a_subscription_that_is_refused(
    cloud_fixture: CloudFixture, fields: Any, status: str, words: str
) -> None:
    found = refusal(lambda: cloud_fixture.subscription(**fields))
    assert found[0] == status
    assert words in found[1]
    assert not list(cloud_fixture.subscriber().list_subscriptions(project=PROJECT))


def test_fields_that_are_not_covered_are_named(cloud_fixture: CloudFixture) -> None:
    request = {"subscription": SUBSCRIPTION}
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.subscriptions\.detach"):
        cloud_fixture.publisher().detach_subscription(request=request)
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.subscriptions\.seek"):
        cloud_fixture.subscriber().seek(request=request)
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.subscriptions\.patch"):
        cloud_fixture.subscriber().update_subscription(subscription={"name": SUBSCRIPTION})
    with pytest.raises(exceptions.MethodNotImplemented, match="modifyPushConfig"):
        cloud_fixture.subscriber().modify_push_config(request=request)
    with pytest.raises(exceptions.MethodNotImplemented, match="modifyAckDeadline"):
        cloud_fixture.subscriber().modify_ack_deadline(request=request)


def test_a_subscription_gets_only_later_messages(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.publish(b"before")
    cloud_fixture.subscription()
    second = f"{PROJECT}/subscriptions/second"
    cloud_fixture.subscription(second)
    (message_id,) = cloud_fixture.publish(b"after")
    (received,) = cloud_fixture.pull()
    assert (received.message.data, received.message.message_id) == (b"after", message_id)
    assert abs(received.message.publish_time.timestamp() - cloud_fixture.clock.now()) < 600
    assert data(cloud_fixture.pull(second)) == [b"after"]


def test_a_message_comes_again_until_it_is_acknowledged(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription()
    cloud_fixture.publish(b"one", b"two")
    first, _second = cloud_fixture.pull()
    assert cloud_fixture.pull() == []
    cloud_fixture.clock.advance(9)
    assert cloud_fixture.pull() == []
    cloud_fixture.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=[first.ack_id])
    cloud_fixture.clock.advance(2)
    (again,) = cloud_fixture.pull()
    assert again.message.data == b"two"
    assert again.ack_id != _second.ack_id
    cloud_fixture.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=[again.ack_id])
    cloud_fixture.clock.advance(3600)
    assert cloud_fixture.pull() == []


def test_an_ack_id_that_is_none(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription()
    words = "You have passed an invalid ack ID to the service (ack_id=nonsense)."
    assert refusal(
        lambda: cloud_fixture.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=["nonsense"])
    ) == ("INVALID_ARGUMENT", words)


def test_a_message_is_forgotten_when_its_retention_ends(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription()
    cloud_fixture.publish(b"old")
    cloud_fixture.clock.advance(604_801)
    cloud_fixture.publish(b"new")
    assert data(cloud_fixture.pull()) == [b"new"]


def test_a_pull_takes_no_more_than_it_asks_for(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription()
    cloud_fixture.publish(b"1", b"2", b"3")
    assert data(cloud_fixture.pull(most=2)) == [b"1", b"2"]
    assert data(cloud_fixture.pull(most=2)) == [b"3"]
    words = (
        "The value for max_messages is too small. You passed 0 in the request, but the minimum value is 1."
    )
    assert refusal(lambda: cloud_fixture.pull(most=0)) == ("INVALID_ARGUMENT", words)


METHODS = [
    ("create_subscription", {"name": f"{PROJECT}/subscriptions/new", "topic": TOPIC}, {"subscriptions.create", "topics.attachSubscription"}),
    ("get_subscription", {"subscription": SUBSCRIPTION}, {"subscriptions.get"}),
    ("list_subscriptions", {"project": PROJECT}, {"subscriptions.list"}),
    ("acknowledge", {"subscription": SUBSCRIPTION, "ack_ids": ["local-1"]}, {"subscriptions.consume"}),
    ("pull", {"subscription": SUBSCRIPTION, "max_messages": 1}, {"subscriptions.consume"}),
    ("get_iam_policy", {"resource": SUBSCRIPTION}, {"subscriptions.getIamPolicy"}),
    ("set_iam_policy", {"resource": SUBSCRIPTION, "policy": {}}, {"subscriptions.setIamPolicy"}),
    ("delete_subscription", {"subscription": SUBSCRIPTION}, {"subscriptions.delete"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "request_", "permissions"), METHODS, ids=[row[0] for row in METHODS])
def test_each_method_asks_for_its_permission(
    cloud_fixture: CloudFixture, method: str, request_: Any, permissions: set[str]
) -> None:
    cloud_fixture.subscription()
    cloud_fixture.publish(b"x")
    needed = {f"pubsub.{name}" for name in permissions}
    assert needed <= PERMISSIONS
    role = f"{PROJECT}/roles/tested"
    cloud_fixture.iam.policies.grant(PROJECT, role, f"serviceAccount:{email('notebook-vm')}")
    for one in needed:
        cloud_fixture.iam.roles.put({"name": role, "includedPermissions": list(PERMISSIONS - {one})})
        with pytest.raises(exceptions.Forbidden, match="User not authorized"):
            getattr(cloud_fixture.subscriber("notebook-vm"), method)(request=request_)
    cloud_fixture.iam.roles.put({"name": role, "includedPermissions": list(needed)})
    getattr(cloud_fixture.subscriber("notebook-vm"), method)(request=request_)
