"""Subscriptions by Google's own client: settings, pull, deadlines on the virtual clock, permissions."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.core.iam import email
from localcloud.core.iam.predefined import PERMISSIONS
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, TOPIC, CloudFixture, data, refusal
from tests.patience import PATIENCE
from tests.polling import eventually


@pytest.fixture(autouse=True)
def _topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()


def test_a_subscription_has_google_s_defaults(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.subscription()
    assert (made.name, made.topic) == (SUBSCRIPTION, TOPIC)
    assert made.ack_deadline_seconds == 10
    assert made.message_retention_duration.days == 7
    assert made.expiration_policy.ttl.days == 31
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
        pytest.param(
            {"ack_deadline_seconds": 9}, "INVALID_ARGUMENT", "The value for ack_deadline_seconds is too small. You passed 9 in the request, but the minimum value is 10.",
            id="deadline too short",
        ),
        pytest.param(
            {"ack_deadline_seconds": 601}, "INVALID_ARGUMENT", "The value for ack_deadline_seconds is too large.",
            id="deadline too long",
        ),
        pytest.param(
            {"message_retention_duration": {"seconds": 60}}, "INVALID_ARGUMENT", "message_retention_duration",
            id="retention too short",
        ),
        pytest.param(
            {"expiration_policy": {"ttl": {"seconds": 3600}}}, "INVALID_ARGUMENT", "expiration_policy.ttl",
            id="expiration too short",
        ),
        pytest.param(
            {"retry_policy": {"maximum_backoff": {"seconds": 601}}}, "INVALID_ARGUMENT", "retry_policy",
            id="backoff too long",
        ),
        pytest.param(
            {"retry_policy": {"minimum_backoff": {"seconds": 60}, "maximum_backoff": {"seconds": 20}}}, "INVALID_ARGUMENT", "retry_policy",
            id="minimum backoff above the maximum",
        ),
        pytest.param({"filter": 'attributes.a = "b"'}, "UNIMPLEMENTED", "'filter'", id="filter"),
        pytest.param(
            {"enable_exactly_once_delivery": True}, "UNIMPLEMENTED", "'enableExactlyOnceDelivery'",
            id="exactly once",
        ),
        pytest.param({"enable_message_ordering": True}, "UNIMPLEMENTED", "'enableMessageOrdering'", id="ordering"),
        pytest.param(
            {"dead_letter_policy": {"dead_letter_topic": TOPIC}}, "UNIMPLEMENTED", "'deadLetterPolicy'",
            id="dead letters",
        ),
        pytest.param(
            {"push_config": {"push_endpoint": "ftp://127.0.0.1/"}}, "INVALID_ARGUMENT", "Invalid push endpoint given (endpoint=ftp://127.0.0.1/).",
            id="push by FTP",
        ),
        pytest.param(
            {"push_config": {"push_endpoint": "http://example.com/"}}, "INVALID_ARGUMENT", "Invalid push endpoint given",
            id="push to another machine",
        ),
        pytest.param(
            {"push_config": {"push_endpoint": "http://[/"}}, "INVALID_ARGUMENT", "Invalid push endpoint given",
            id="push address that cannot be read",
        ),
        pytest.param(
            {"push_config": {"push_endpoint": "https://example.com/"}}, "UNIMPLEMENTED", "plain HTTP on this machine",
            id="push by HTTPS",
        ),
        pytest.param(
            {"push_config": {"push_endpoint": "http://127.0.0.1:1/", "no_wrapper": {"write_metadata": True}}}, "UNIMPLEMENTED", "'noWrapper'",
            id="push without a wrapper",
        ),
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
    cloud_fixture.subscription(ack_deadline_seconds=30)
    cloud_fixture.publish(b"one", b"two")
    first, _second = cloud_fixture.pull()
    assert cloud_fixture.pull() == []
    cloud_fixture.clock.advance(29)
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


def test_a_retry_policy_holds_a_message_back(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription(
        ack_deadline_seconds=10,
        retry_policy={"minimum_backoff": {"seconds": 100}, "maximum_backoff": {"seconds": 150}},
    )
    cloud_fixture.publish(b"x")
    for backoff in (100, 150, 150):
        assert data(cloud_fixture.pull()) == [b"x"]
        cloud_fixture.clock.advance(10 + backoff - 2)
        assert cloud_fixture.pull() == []
        cloud_fixture.clock.advance(3)


def test_a_message_is_forgotten_when_its_retention_ends(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription(message_retention_duration={"seconds": 600})
    cloud_fixture.publish(b"old")
    cloud_fixture.clock.advance(601)
    cloud_fixture.publish(b"new")
    assert data(cloud_fixture.pull()) == [b"new"]


def test_a_pull_waits_for_a_message(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.subscription()
    found: list[bytes] = []
    client = cloud_fixture.subscriber()

    def wait() -> None:
        found.extend(data(list(client.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(
        lambda: bool(cloud_fixture.findings.inventory()["calls"].get("pubsub.projects.subscriptions.pull"))
    )
    cloud_fixture.publish(b"at last")
    waiting.join(PATIENCE)
    assert found == [b"at last"]


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
