"""Subscriptions by Google's own client: settings, pull, deadlines on the virtual clock, permissions."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.iam import ROLES, email
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, TOPIC, World, data, eventually, refusal


@pytest.fixture(autouse=True)
def _topic(world: World) -> None:
    world.topic()


def test_a_subscription_has_google_s_defaults(world: World) -> None:
    made = world.subscription()
    assert (made.name, made.topic) == (SUBSCRIPTION, TOPIC)
    assert made.ack_deadline_seconds == 10
    assert made.message_retention_duration.days == 7
    assert made.expiration_policy.ttl.days == 31
    assert not made.push_config.push_endpoint
    assert "retry_policy" not in made
    client = world.subscriber()
    assert client.get_subscription(subscription=SUBSCRIPTION) == made
    assert list(client.list_subscriptions(project=PROJECT)) == [made]
    words = "Resource already exists in the project (resource=reader)."
    assert refusal(world.subscription) == ("ALREADY_EXISTS", words)
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
def test_a_subscription_that_is_refused(world: World, fields: Any, status: str, words: str) -> None:
    found = refusal(lambda: world.subscription(**fields))
    assert found[0] == status
    assert words in found[1]
    assert not list(world.subscriber().list_subscriptions(project=PROJECT))


def test_what_is_not_covered_says_so(world: World) -> None:
    request = {"subscription": SUBSCRIPTION}
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.subscriptions\.detach"):
        world.publisher().detach_subscription(request=request)
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.subscriptions\.seek"):
        world.subscriber().seek(request=request)


def test_an_update_changes_what_its_mask_names(world: World) -> None:
    world.subscription(retry_policy={"minimum_backoff": {"seconds": 20}}, labels={"a": "b"})
    update = world.subscriber().update_subscription
    body = {"name": SUBSCRIPTION, "ack_deadline_seconds": 60, "labels": {"c": "d"}}
    changed = update(subscription=body, update_mask={"paths": ["ack_deadline_seconds", "retry_policy"]})
    assert (changed.ack_deadline_seconds, dict(changed.labels)) == (60, {"a": "b"})
    assert "retry_policy" not in changed
    for paths, words in (
        ([], "The update_mask in the UpdateSubscriptionRequest must be set"),
        (["topic"], "the 'topic' field in the Subscription is not mutable."),
        (["bogus"], "'bogus' is not a known Subscription field."),
    ):
        status, found = refusal(partial(update, subscription=body, update_mask={"paths": paths}))
        assert status == "INVALID_ARGUMENT"
        assert words in found


def test_a_subscription_that_was_read_can_be_changed_and_sent_back(world: World) -> None:
    world.subscription(labels={"a": "b"})
    found = world.subscriber().get_subscription(subscription=SUBSCRIPTION)
    assert found.state
    found.ack_deadline_seconds = 60
    paths = {"paths": ["ack_deadline_seconds"]}
    assert world.subscriber().update_subscription(subscription=found, update_mask=paths) == found


def test_only_what_is_published_after_it_reaches_a_subscription(world: World) -> None:
    world.publish(b"before")
    world.subscription()
    second = f"{PROJECT}/subscriptions/second"
    world.subscription(second)
    (message_id,) = world.publish(b"after")
    (received,) = world.pull()
    assert (received.message.data, received.message.message_id) == (b"after", message_id)
    assert abs(received.message.publish_time.timestamp() - world.clock.now()) < 20
    assert data(world.pull(second)) == [b"after"]


def test_a_message_comes_again_until_it_is_acknowledged(world: World) -> None:
    world.subscription(ack_deadline_seconds=30)
    world.publish(b"one", b"two")
    first, _second = world.pull()
    assert world.pull() == []
    world.clock.advance(29)
    assert world.pull() == []
    world.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=[first.ack_id])
    world.clock.advance(2)
    (again,) = world.pull()
    assert again.message.data == b"two"
    assert again.ack_id != _second.ack_id
    world.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=[again.ack_id])
    world.clock.advance(3600)
    assert world.pull() == []


def test_a_deadline_is_extended_and_given_up(world: World) -> None:
    world.subscription()
    world.publish(b"x")
    (received,) = world.pull()
    modify = world.subscriber().modify_ack_deadline
    modify(subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=600)
    world.clock.advance(599)
    assert world.pull() == []
    modify(subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=0)
    assert data(world.pull()) == [b"x"]
    with pytest.raises(exceptions.BadRequest, match="the maximum value is 600"):
        modify(subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=601)
    words = "You have passed an invalid ack ID to the service (ack_id=nonsense)."
    assert refusal(
        lambda: world.subscriber().acknowledge(subscription=SUBSCRIPTION, ack_ids=["nonsense"])
    ) == ("INVALID_ARGUMENT", words)


def test_a_retry_policy_holds_a_message_back(world: World) -> None:
    world.subscription(
        retry_policy={"minimum_backoff": {"seconds": 100}, "maximum_backoff": {"seconds": 150}}
    )
    world.publish(b"x")
    for backoff in (100, 150, 150):
        (received,) = world.pull()
        world.subscriber().modify_ack_deadline(
            subscription=SUBSCRIPTION, ack_ids=[received.ack_id], ack_deadline_seconds=0
        )
        world.clock.advance(backoff - 2)
        assert world.pull() == []
        world.clock.advance(3)


def test_a_message_is_forgotten_when_its_retention_ends(world: World) -> None:
    world.subscription(message_retention_duration={"seconds": 600})
    world.publish(b"old")
    world.clock.advance(601)
    world.publish(b"new")
    assert data(world.pull()) == [b"new"]


def test_a_pull_waits_for_a_message(world: World) -> None:
    world.subscription()
    found: list[bytes] = []
    client = world.subscriber()

    def wait() -> None:
        found.extend(data(list(client.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: bool(world.findings.inventory()["calls"].get("pubsub.projects.subscriptions.pull")))
    world.publish(b"at last")
    waiting.join(20)
    assert found == [b"at last"]


def test_a_pull_takes_no_more_than_it_asks_for(world: World) -> None:
    world.subscription()
    world.publish(b"1", b"2", b"3")
    assert data(world.pull(most=2)) == [b"1", b"2"]
    assert data(world.pull(most=2)) == [b"3"]
    words = (
        "The value for max_messages is too small. You passed 0 in the request, but the minimum value is 1."
    )
    assert refusal(lambda: world.pull(most=0)) == ("INVALID_ARGUMENT", words)


METHODS = [
    ("create_subscription", {"name": f"{PROJECT}/subscriptions/new", "topic": TOPIC}, {"subscriptions.create", "topics.attachSubscription"}),
    ("get_subscription", {"subscription": SUBSCRIPTION}, {"subscriptions.get"}),
    ("list_subscriptions", {"project": PROJECT}, {"subscriptions.list"}),
    ("update_subscription", {"subscription": {"name": SUBSCRIPTION}, "update_mask": {"paths": ["labels"]}}, {"subscriptions.update"}),
    ("modify_push_config", {"subscription": SUBSCRIPTION, "push_config": {}}, {"subscriptions.update"}),
    ("acknowledge", {"subscription": SUBSCRIPTION, "ack_ids": ["local-1"]}, {"subscriptions.consume"}),
    ("modify_ack_deadline", {"subscription": SUBSCRIPTION, "ack_ids": ["local-1"], "ack_deadline_seconds": 10}, {"subscriptions.consume"}),
    ("pull", {"subscription": SUBSCRIPTION, "max_messages": 1}, {"subscriptions.consume"}),
    ("get_iam_policy", {"resource": SUBSCRIPTION}, {"subscriptions.getIamPolicy"}),
    ("set_iam_policy", {"resource": SUBSCRIPTION, "policy": {}}, {"subscriptions.setIamPolicy"}),
    ("delete_subscription", {"subscription": SUBSCRIPTION}, {"subscriptions.delete"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "request_", "permissions"), METHODS, ids=[row[0] for row in METHODS])
def test_each_method_asks_for_its_permission(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, request_: Any, permissions: set[str]
) -> None:
    world.subscription()
    world.publish(b"x")
    needed = {f"pubsub.{name}" for name in permissions}
    every = ROLES["roles/pubsub.admin"]
    assert needed <= every
    member = f"serviceAccount:{email('vm')}"
    world.iam.bind(PROJECT, {"bindings": [{"role": "roles/pubsub.viewer", "members": [member]}]})
    for one in needed:
        monkeypatch.setitem(ROLES, "roles/pubsub.viewer", every - {one})
        with pytest.raises(exceptions.Forbidden, match="User not authorized"):
            getattr(world.subscriber("vm"), method)(request=request_)
    monkeypatch.setitem(ROLES, "roles/pubsub.viewer", frozenset(needed))
    getattr(world.subscriber("vm"), method)(request=request_)
