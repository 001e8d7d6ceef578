"""Topics by Google's own client: made, listed, changed, deleted; what may be published; who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.errors import ApiError
from localcloud.iam import ROLES, SCHEDULER_AGENT, email
from localcloud.pubsub.messages import Content
from localcloud.service import Caller
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, TOPIC, World, refusal


def test_a_topic_is_made_read_listed_and_deleted(world: World) -> None:
    made = world.topic(labels={"team": "bikes"})
    assert (made.name, dict(made.labels)) == (TOPIC, {"team": "bikes"})
    client = world.publisher()
    assert client.get_topic(topic=TOPIC) == made
    world.topic(f"{PROJECT}/topics/a-second.one~+%")
    pages = client.list_topics(request={"project": PROJECT, "page_size": 1}).pages
    assert [[topic.name for topic in page.topics] for page in pages] == [
        [f"{PROJECT}/topics/a-second.one~+%"],
        [TOPIC],
    ]
    assert [topic["name"] for topic in world.service.inventory()["pubsub.topics"]] == [
        "a-second.one~+%",
        "news",
    ]
    client.delete_topic(topic=TOPIC)
    words = ("NOT_FOUND", "Resource not found (resource=news).")
    assert refusal(lambda: client.get_topic(topic=TOPIC)) == words
    assert refusal(lambda: client.delete_topic(topic=TOPIC)) == words
    assert refusal(lambda: world.publish(b"x")) == words


def test_a_name_that_is_taken_is_a_conflict(world: World) -> None:
    world.topic()
    words = "Resource already exists in the project (resource=news)."
    assert refusal(world.topic) == ("ALREADY_EXISTS", words)


@pytest.mark.parametrize(
    "short",
    ["ab", "1abc", "goog-x", "a" * 256, "a b", "a:b"],
    ids=["too short", "leading digit", "reserved prefix", "too long", "space", "colon"],
)
def test_a_name_that_is_refused(world: World, short: str) -> None:
    name = f"{PROJECT}/topics/{short}"
    status, words = refusal(lambda: world.topic(name))
    assert status == "INVALID_ARGUMENT"
    assert words.startswith(f"Invalid resource name given (name={name}). Refer to https://cloud.google.com/")


def test_the_project_may_be_named_by_its_number(world: World) -> None:
    world.topic("projects/123456789012/topics/news")
    assert world.publisher().get_topic(topic=TOPIC).name == TOPIC


def test_another_project_is_forbidden_to_everybody(world: World) -> None:
    words = ("PERMISSION_DENIED", "User not authorized to perform this action.")
    assert refusal(lambda: world.topic("projects/other/topics/news")) == words


def test_labels_are_updated_by_a_mask(world: World) -> None:
    world.topic(labels={"a": "1"}, message_retention_duration={"seconds": 3600})
    update = world.publisher().update_topic
    changed = update(topic={"name": TOPIC, "labels": {"b": "2"}}, update_mask={"paths": ["labels"]})
    assert dict(changed.labels) == {"b": "2"}
    assert changed.message_retention_duration.total_seconds() == 3600
    assert not update(topic={"name": TOPIC}, update_mask={"paths": ["labels"]}).labels


def test_a_topic_that_was_read_can_be_changed_and_sent_back(world: World) -> None:
    world.topic(labels={"a": "1"}, message_retention_duration={"seconds": 3600})
    topic = world.publisher().get_topic(topic=TOPIC)
    assert topic.state
    topic.labels["b"] = "2"
    changed = world.publisher().update_topic(topic=topic, update_mask={"paths": ["labels"]})
    assert changed == topic
    assert world.publisher().get_topic(topic=TOPIC) == topic


@pytest.mark.parametrize(
    ("paths", "status", "words"),
    [
        pytest.param(
            [], "INVALID_ARGUMENT", "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.",
            id="no mask",
        ),
        pytest.param(["nonsense"], "INVALID_ARGUMENT", "'nonsense' is not a known Topic field", id="unknown field"),
        pytest.param(
            ["name"], "INVALID_ARGUMENT", "the 'name' field in the Topic is not mutable.",
            id="immutable field",
        ),
        pytest.param(
            ["schema_settings"], "UNIMPLEMENTED", "does not update the field 'schemaSettings' of a topic",
            id="field that localcloud lacks",
        ),
    ],
)  # fmt: skip
def test_an_update_that_is_refused(world: World, paths: list[str], status: str, words: str) -> None:
    world.topic()
    found = refusal(
        lambda: world.publisher().update_topic(topic={"name": TOPIC}, update_mask={"paths": paths})
    )
    assert found[0] == status
    assert words in found[1]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(
            {"kms_key_name": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, "UNIMPLEMENTED", id="KMS key"
        ),
        pytest.param({"labels": {"UPPER": "x"}}, "INVALID_ARGUMENT", id="label in upper case"),
        pytest.param(
            {"message_retention_duration": {"seconds": 599}}, "INVALID_ARGUMENT", id="retention too short"
        ),
    ],
)
def test_a_topic_that_is_refused(world: World, fields: Any, status: str) -> None:
    assert refusal(lambda: world.topic(**fields))[0] == status


def test_messages_get_numbers_for_ids_that_grow(world: World) -> None:
    world.topic()
    ids = world.publish(b"one", b"two") + world.publish(b"three")
    assert all(one.isdecimal() for one in ids)
    assert sorted({int(one) for one in ids}) == [int(one) for one in ids]
    assert world.publisher().publish(TOPIC, b"by the batching client", key="value").result(20).isdecimal()


EMPTY = (
    "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at "
    "least one attribute."
)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param(
            [], "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.",
            id="no messages",
        ),
        pytest.param([{"data": b"x"}, {}], EMPTY, id="one empty message"),
        pytest.param([{"ordering_key": "k"}], EMPTY, id="ordering key alone"),
        pytest.param(
            [{"data": b"x"}] * 1001, "The value for message_count is too large. You passed 1001 in the request, but the maximum value is 1000.",
            id="too many messages",
        ),
        pytest.param([{"data": b"x" * 10_000_001}], "The value for request_size is too large.", id="too many bytes"),
        pytest.param(
            [{"attributes": {f"k{n}": "v" for n in range(101)}}], "The value for attribute_count is too large. You passed 101",
            id="too many attributes",
        ),
        pytest.param(
            [{"attributes": {"k" * 257: "v"}}], "The value for attribute_key_size is too large. You passed 257",
            id="attribute key too long",
        ),
        pytest.param(
            [{"attributes": {"k": "é" * 513}}], "The value for attribute_value_size is too large. You passed 1026",
            id="attribute value too long",
        ),
        pytest.param(
            [{"attributes": {"googclient": "v"}}], "Invalid attribute key 'googclient'",
            id="reserved attribute key",
        ),
        pytest.param(
            [{"data": b"x", "ordering_key": "k" * 1025}], "The value for ordering_key_size is too large.",
            id="ordering key too long",
        ),
    ],
)  # fmt: skip
def test_a_publish_that_is_refused_publishes_nothing(world: World, messages: list[Any], words: str) -> None:
    world.topic()
    world.subscription()
    status, found = refusal(lambda: world.publish(*messages))
    assert status == "INVALID_ARGUMENT"
    assert words in found
    assert world.pull() == []


def test_attributes_alone_are_a_message(world: World) -> None:
    world.topic()
    world.subscription()
    world.publish({"attributes": {"k": "v"}, "ordering_key": "o"})
    (received,) = world.pull()
    assert (received.message.data, dict(received.message.attributes)) == (b"", {"k": "v"})
    assert received.message.ordering_key == "o"


def test_a_deleted_topic_leaves_its_subscriptions_without_one(world: World) -> None:
    world.topic()
    world.subscription()
    world.publish(b"before")
    assert list(world.publisher().list_topic_subscriptions(topic=TOPIC)) == [SUBSCRIPTION]
    world.publisher().delete_topic(topic=TOPIC)
    assert world.subscriber().get_subscription(subscription=SUBSCRIPTION).topic == "_deleted-topic_"
    world.topic()
    world.publish(b"after")
    assert [one.message.data for one in world.pull()] == [b"before"]


METHODS = [
    ("create_topic", {"name": f"{PROJECT}/topics/new"}, "topics.create"),
    ("get_topic", {"topic": TOPIC}, "topics.get"),
    ("list_topics", {"project": PROJECT}, "topics.list"),
    ("update_topic", {"topic": {"name": TOPIC}, "update_mask": {"paths": ["labels"]}}, "topics.update"),
    ("list_topic_subscriptions", {"topic": TOPIC}, "topics.get"),
    ("get_iam_policy", {"resource": TOPIC}, "topics.getIamPolicy"),
    ("set_iam_policy", {"resource": TOPIC, "policy": {}}, "topics.setIamPolicy"),
    ("delete_topic", {"topic": TOPIC}, "topics.delete"),
]


@pytest.mark.parametrize(("method", "request_", "permission"), METHODS, ids=[row[0] for row in METHODS])
def test_each_method_asks_for_its_permission(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, request_: Any, permission: str
) -> None:
    world.topic()
    every = ROLES["roles/pubsub.admin"]
    assert f"pubsub.{permission}" in every
    for held, allowed in ((every - {f"pubsub.{permission}"}, False), ({f"pubsub.{permission}"}, True)):
        monkeypatch.setitem(ROLES, "roles/pubsub.viewer", frozenset(held))
        world.iam.bind(
            PROJECT,
            {"bindings": [{"role": "roles/pubsub.viewer", "members": [f"serviceAccount:{email('vm')}"]}]},
        )
        if allowed:
            getattr(world.publisher("vm"), method)(request=request_)
            continue
        words = ("PERMISSION_DENIED", "User not authorized to perform this action.")
        assert refusal(lambda: getattr(world.publisher("vm"), method)(request=request_)) == words


def test_a_publisher_by_a_grant_on_the_topic(world: World) -> None:
    world.topic()
    client = world.publisher()
    publish = {"topic": TOPIC, "data": b"x"}
    with pytest.raises(exceptions.Forbidden):
        world.publisher("vm").publish(**publish).result(20)
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('vm')}"]}
    client.set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    assert world.publisher("vm").publish(**publish).result(20)
    wanted = ["pubsub.topics.publish", "pubsub.topics.get"]
    asked = {"resource": TOPIC, "permissions": wanted}
    assert list(world.publisher("vm").test_iam_permissions(request=asked).permissions) == wanted[:1]
    asked["resource"] = f"{PROJECT}/topics/nothing"
    assert not world.publisher("vm").test_iam_permissions(request=asked).permissions


def test_the_deployer_makes_and_deletes_topics_and_does_not_publish(world: World) -> None:
    client: Any = world.publisher("deployer")
    client.create_topic(name=TOPIC)
    client.get_topic(topic=TOPIC)
    with pytest.raises(exceptions.Forbidden):
        client.publish(TOPIC, b"x").result(20)
    client.delete_topic(topic=TOPIC)


def test_the_scheduler_publishes_as_its_agent_and_nobody_else_without_a_grant(world: World) -> None:
    world.topic()
    assert world.service.publish(Caller(SCHEDULER_AGENT), TOPIC, [Content(b"x", {})])
    with pytest.raises(ApiError) as caught:
        world.service.publish(Caller(email("function")), TOPIC, [Content(b"x", {})])
    assert caught.value.status == 403


def test_topics_policies_and_subscriptions_are_there_after_a_restart(start: Callable[[], World]) -> None:
    world = start()
    world.topic(labels={"a": "b"})
    world.subscription(ack_deadline_seconds=77)
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('vm')}"]}
    world.publisher().set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    (first,) = world.publish(b"lost: messages are in memory")
    world = start()
    assert dict(world.publisher().get_topic(topic=TOPIC).labels) == {"a": "b"}
    assert world.subscriber().get_subscription(subscription=SUBSCRIPTION).ack_deadline_seconds == 77
    assert int(world.publisher("vm").publish(TOPIC, b"kept").result(20)) > int(first)
    assert [one.message.data for one in world.pull()] == [b"kept"]


def test_a_policy_goes_with_its_topic(world: World) -> None:
    world.topic()
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('vm')}"]}
    world.publisher().set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    world.publisher().delete_topic(topic=TOPIC)
    world.topic()
    with pytest.raises(exceptions.Forbidden):
        world.publisher("vm").publish(TOPIC, b"x").result(20)


def test_a_role_of_another_service_is_refused(world: World) -> None:
    world.topic()
    binding = {"role": "roles/storage.objectUser", "members": ["allUsers"]}
    asked = {"resource": TOPIC, "policy": {"bindings": [binding]}}
    words = "Role roles/storage.objectUser is not supported for this resource."
    assert refusal(lambda: world.publisher().set_iam_policy(request=asked)) == ("INVALID_ARGUMENT", words)
