"""Topics by Google's own client: create, list, delete, publish, permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError
from localcloud.core.iam import SCHEDULER_AGENT, email
from localcloud.core.iam.predefined import PERMISSIONS
from localcloud.services.pubsub.messages import Content
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, TOPIC, CloudFixture, refusal
from tests.patience import PATIENCE


def test_a_topic_is_made_read_listed_and_deleted(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.topic(labels={"team": "bikes"})
    assert (made.name, dict(made.labels)) == (TOPIC, {"team": "bikes"})
    client = cloud_fixture.publisher()
    assert client.get_topic(topic=TOPIC) == made
    cloud_fixture.topic(f"{PROJECT}/topics/a-second.one~+%")
    pages = client.list_topics(request={"project": PROJECT, "page_size": 1}).pages
    assert [[topic.name for topic in page.topics] for page in pages] == [
        [f"{PROJECT}/topics/a-second.one~+%"],
        [TOPIC],
    ]
    assert [topic["name"] for topic in cloud_fixture.service.inventory()["pubsub.topics"]] == [
        "a-second.one~+%",
        "news",
    ]
    client.delete_topic(topic=TOPIC)
    words = ("NOT_FOUND", "Resource not found (resource=news).")
    assert refusal(lambda: client.get_topic(topic=TOPIC)) == words
    assert refusal(lambda: client.delete_topic(topic=TOPIC)) == words
    assert refusal(lambda: cloud_fixture.publish(b"x")) == words


def test_a_name_that_is_taken_is_a_conflict(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    words = "Resource already exists in the project (resource=news)."
    assert refusal(cloud_fixture.topic) == ("ALREADY_EXISTS", words)


@pytest.mark.parametrize(
    "short",
    ["ab", "1abc", "goog-x", "a" * 256, "a b", "a:b"],
    ids=["too short", "leading digit", "reserved prefix", "too long", "space", "colon"],
)
def test_a_name_that_is_refused(cloud_fixture: CloudFixture, short: str) -> None:
    name = f"{PROJECT}/topics/{short}"
    status, words = refusal(lambda: cloud_fixture.topic(name))
    assert status == "INVALID_ARGUMENT"
    assert words.startswith(f"Invalid resource name given (name={name}). Refer to https://cloud.google.com/")


def test_the_project_may_be_named_by_its_number(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic("projects/123456789012/topics/news")
    assert cloud_fixture.publisher().get_topic(topic=TOPIC).name == TOPIC


def test_another_project_is_forbidden_to_everybody(cloud_fixture: CloudFixture) -> None:
    words = ("PERMISSION_DENIED", "User not authorized to perform this action.")
    assert refusal(lambda: cloud_fixture.topic("projects/other/topics/news")) == words


def test_updates_are_not_covered(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    with pytest.raises(exceptions.MethodNotImplemented, match=r"pubsub\.projects\.topics\.patch"):
        cloud_fixture.publisher().update_topic(topic={"name": TOPIC})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(
            {"kms_key_name": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, "UNIMPLEMENTED", id="KMS key"
        ),
        pytest.param({"labels": {"UPPER": "x"}}, "INVALID_ARGUMENT", id="label in upper case"),
        pytest.param({"message_retention_duration": {"seconds": 600}}, "UNIMPLEMENTED", id="retention"),
    ],
)
def test_a_topic_that_is_refused(cloud_fixture: CloudFixture, fields: Any, status: str) -> None:
    assert refusal(lambda: cloud_fixture.topic(**fields))[0] == status


def test_messages_get_numbers_for_ids_that_grow(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    ids = cloud_fixture.publish(b"one", b"two") + cloud_fixture.publish(b"three")
    assert all(one.isdecimal() for one in ids)
    assert sorted({int(one) for one in ids}) == [int(one) for one in ids]
    assert (
        cloud_fixture.publisher()
        .publish(TOPIC, b"by the batching client", key="value")
        .result(PATIENCE)
        .isdecimal()
    )


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
    ],
)  # fmt: skip
def test_a_publish_that_is_refused_publishes_nothing(
    cloud_fixture: CloudFixture, messages: list[Any], words: str
) -> None:
    cloud_fixture.topic()
    cloud_fixture.subscription()
    status, found = refusal(lambda: cloud_fixture.publish(*messages))
    assert status == "INVALID_ARGUMENT"
    assert words in found
    assert cloud_fixture.pull() == []


def test_attributes_alone_are_a_message(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    cloud_fixture.subscription()
    cloud_fixture.publish({"attributes": {"k": "v"}})
    (received,) = cloud_fixture.pull()
    assert (received.message.data, dict(received.message.attributes)) == (b"", {"k": "v"})


def test_an_ordering_key_is_not_covered(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    with pytest.raises(exceptions.MethodNotImplemented, match="'orderingKey' of a message"):
        cloud_fixture.publish({"data": b"x", "ordering_key": "k"})


def test_a_deleted_topic_leaves_its_subscriptions_without_one(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    cloud_fixture.subscription()
    cloud_fixture.publish(b"before")
    assert list(cloud_fixture.publisher().list_topic_subscriptions(topic=TOPIC)) == [SUBSCRIPTION]
    cloud_fixture.publisher().delete_topic(topic=TOPIC)
    assert cloud_fixture.subscriber().get_subscription(subscription=SUBSCRIPTION).topic == "_deleted-topic_"
    cloud_fixture.topic()
    cloud_fixture.publish(b"after")
    assert [one.message.data for one in cloud_fixture.pull()] == [b"before"]


METHODS = [
    ("create_topic", {"name": f"{PROJECT}/topics/new"}, "topics.create"),
    ("get_topic", {"topic": TOPIC}, "topics.get"),
    ("list_topics", {"project": PROJECT}, "topics.list"),
    ("list_topic_subscriptions", {"topic": TOPIC}, "topics.get"),
    ("get_iam_policy", {"resource": TOPIC}, "topics.getIamPolicy"),
    ("set_iam_policy", {"resource": TOPIC, "policy": {}}, "topics.setIamPolicy"),
    ("delete_topic", {"topic": TOPIC}, "topics.delete"),
]


@pytest.mark.parametrize(("method", "request_", "permission"), METHODS, ids=[row[0] for row in METHODS])
def test_each_method_asks_for_its_permission(
    cloud_fixture: CloudFixture, method: str, request_: Any, permission: str
) -> None:
    cloud_fixture.topic()
    needed = {f"pubsub.{permission}"}
    assert needed <= PERMISSIONS
    role = f"{PROJECT}/roles/tested"
    cloud_fixture.iam.policies.grant(PROJECT, role, f"serviceAccount:{email('notebook-vm')}")
    for held, allowed in ((PERMISSIONS - needed, False), (needed, True)):
        cloud_fixture.iam.roles.put({"name": role, "includedPermissions": list(held)})
        if allowed:
            getattr(cloud_fixture.publisher("notebook-vm"), method)(request=request_)
            continue
        words = ("PERMISSION_DENIED", "User not authorized to perform this action.")
        assert (
            refusal(lambda: getattr(cloud_fixture.publisher("notebook-vm"), method)(request=request_))
            == words
        )


def test_a_publisher_by_a_grant_on_the_topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    client = cloud_fixture.publisher()
    publish = {"topic": TOPIC, "data": b"x"}
    with pytest.raises(exceptions.Forbidden):
        cloud_fixture.publisher("notebook-vm").publish(**publish).result(PATIENCE)
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('notebook-vm')}"]}
    client.set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    assert cloud_fixture.publisher("notebook-vm").publish(**publish).result(PATIENCE)
    wanted = ["pubsub.topics.publish", "pubsub.topics.get"]
    asked = {"resource": TOPIC, "permissions": wanted}
    assert (
        list(cloud_fixture.publisher("notebook-vm").test_iam_permissions(request=asked).permissions)
        == wanted[:1]
    )
    asked["resource"] = f"{PROJECT}/topics/nothing"
    assert not cloud_fixture.publisher("notebook-vm").test_iam_permissions(request=asked).permissions


def test_the_deployer_makes_and_deletes_topics_and_the_builder_does_not_publish(
    cloud_fixture: CloudFixture,
) -> None:
    client: Any = cloud_fixture.publisher("notebook-deployer")
    client.create_topic(name=TOPIC)
    client.get_topic(topic=TOPIC)
    assert client.publish(TOPIC, b"x").result(PATIENCE)
    with pytest.raises(exceptions.Forbidden):
        cloud_fixture.publisher("notebook-builder").publish(TOPIC, b"x").result(PATIENCE)
    client.delete_topic(topic=TOPIC)


def test_the_scheduler_publishes_as_its_agent_and_nobody_else_without_a_grant(
    cloud_fixture: CloudFixture,
) -> None:
    cloud_fixture.topic()
    assert cloud_fixture.service.publish(Caller(SCHEDULER_AGENT), TOPIC, [Content(b"x", {})])
    with pytest.raises(ApiError) as caught:
        cloud_fixture.service.publish(Caller(email("notebook-function")), TOPIC, [Content(b"x", {})])
    assert caught.value.status == 403


def test_topics_policies_and_subscriptions_are_there_after_a_restart(
    start: Callable[[], CloudFixture],
) -> None:
    cloud_fixture = start()
    cloud_fixture.topic(labels={"a": "b"})
    cloud_fixture.subscription()
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('notebook-vm')}"]}
    cloud_fixture.publisher().set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    (first,) = cloud_fixture.publish(b"lost: messages are in memory")
    cloud_fixture = start()
    assert dict(cloud_fixture.publisher().get_topic(topic=TOPIC).labels) == {"a": "b"}
    assert cloud_fixture.subscriber().get_subscription(subscription=SUBSCRIPTION).topic == TOPIC
    assert int(cloud_fixture.publisher("notebook-vm").publish(TOPIC, b"kept").result(PATIENCE)) > int(first)
    assert [one.message.data for one in cloud_fixture.pull()] == [b"kept"]


def test_a_policy_goes_with_its_topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    binding = {"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{email('notebook-vm')}"]}
    cloud_fixture.publisher().set_iam_policy(request={"resource": TOPIC, "policy": {"bindings": [binding]}})
    cloud_fixture.publisher().delete_topic(topic=TOPIC)
    cloud_fixture.topic()
    with pytest.raises(exceptions.Forbidden):
        cloud_fixture.publisher("notebook-vm").publish(TOPIC, b"x").result(PATIENCE)


def test_a_role_of_another_service_is_refused(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    binding = {"role": "roles/storage.objectUser", "members": ["allUsers"]}
    asked = {"resource": TOPIC, "policy": {"bindings": [binding]}}
    words = "Role roles/storage.objectUser is not supported for this resource."
    assert refusal(lambda: cloud_fixture.publisher().set_iam_policy(request=asked)) == (
        "INVALID_ARGUMENT",
        words,
    )
