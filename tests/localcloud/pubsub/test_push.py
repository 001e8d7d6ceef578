"""Pushes: Google's envelope, the account's token, redelivery with growing pauses, and planned duplicates."""

from __future__ import annotations

import base64
import threading

import pytest

from localcloud.core.iam import email
from localcloud.services.pubsub.delivery import retry_delay
from tests.localcloud.pubsub.conftest import PROJECT, SUBSCRIPTION, CloudFixture, Endpoint, refusal
from tests.patience import PATIENCE
from tests.polling import eventually


@pytest.fixture(autouse=True)
def _topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()


def backlog(cloud_fixture: CloudFixture) -> int:
    (found,) = cloud_fixture.service.inventory()["pubsub.subscriptions"]
    count: int = found["unacknowledged"]
    return count


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_push_brings_google_s_envelope(
    cloud_fixture: CloudFixture, endpoint: Endpoint, url: str, status: int
) -> None:
    endpoint.answer = lambda _number: status
    cloud_fixture.trigger(url)
    (message_id,) = cloud_fixture.publish({"data": b"hello", "attributes": {"k": "v"}})
    (body,) = endpoint.wait(1)
    published = body["message"]["publishTime"]
    assert body == {
        "message": {
            "data": base64.b64encode(b"hello").decode(),
            "attributes": {"k": "v"},
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": SUBSCRIPTION,
    }
    headers = endpoint.pushes[0][0]
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == f"Bearer {email('notebook-trigger')}"
    eventually(lambda: backlog(cloud_fixture) == 0)
    words = "This method is not supported for this subscription type."
    assert refusal(cloud_fixture.pull) == ("FAILED_PRECONDITION", words)


def test_a_push_without_data_has_no_such_key(
    cloud_fixture: CloudFixture, endpoint: Endpoint, url: str
) -> None:
    cloud_fixture.trigger(url)
    cloud_fixture.publish({"attributes": {"k": "v"}})
    assert "data" not in endpoint.wait(1)[0]["message"]


@pytest.mark.parametrize("status", [203, 301, 400, 500])
def test_a_push_refused_is_repeated_with_a_growing_pause(
    cloud_fixture: CloudFixture, endpoint: Endpoint, url: str, status: int
) -> None:
    endpoint.answer = lambda number: status if number < 2 else 204
    cloud_fixture.trigger(url, retryPolicy={"minimumBackoff": "60s", "maximumBackoff": "600s"})
    (message_id,) = cloud_fixture.publish(b"x")
    for count, backoff in ((1, 60), (2, 120)):
        endpoint.wait(count)
        eventually(lambda: pending(cloud_fixture))
        cloud_fixture.clock.advance(backoff - 5)
        assert len(endpoint.pushes) == count
        cloud_fixture.clock.advance(6)
    assert {body["message"]["messageId"] for body in endpoint.wait(3)} == {message_id}
    eventually(lambda: backlog(cloud_fixture) == 0)


def pending(cloud_fixture: CloudFixture) -> bool:
    """True if no push is under way: its message has a time at which it comes again."""
    held = cloud_fixture.service._delivery._backlogs[SUBSCRIPTION]
    return all(one.available < float("inf") for one in held)


def test_a_push_that_finds_nobody_is_repeated(
    cloud_fixture: CloudFixture, endpoint: Endpoint, url: str
) -> None:
    cloud_fixture.trigger("http://127.0.0.1:1/nobody")
    cloud_fixture.publish(b"x")
    eventually(lambda: cloud_fixture.service._delivery._backlogs[SUBSCRIPTION][0].attempts > 0)
    cloud_fixture.trigger(url)
    eventually(lambda: pending(cloud_fixture))
    cloud_fixture.clock.advance(60)
    endpoint.wait(1)


def test_a_fault_delivers_a_message_again(cloud_fixture: CloudFixture, endpoint: Endpoint, url: str) -> None:
    fault = {"method": "pubsub.subscriptions.push", "match": {"subscription": "reader", "topic": "news"}}
    cloud_fixture.faults.add({**fault, "action": "duplicate", "times": 2, "args": {"copies": 3}})
    cloud_fixture.faults.add({**fault, "action": "duplicate", "args": {"after": 3600}})
    cloud_fixture.trigger(url)
    ids = [cloud_fixture.publish(name)[0] for name in (b"a", b"b")]
    pushed = [body["message"]["messageId"] for body in endpoint.wait(8)]
    assert sorted(pushed) == sorted(ids * 4)
    (late,) = cloud_fixture.publish(b"late")
    endpoint.wait(9)
    eventually(lambda: backlog(cloud_fixture) == 1)
    cloud_fixture.clock.advance(3601)
    assert [body["message"]["messageId"] for body in endpoint.wait(10)][8:] == [late, late]
    assert [one["consumed"] for one in cloud_fixture.faults.inventory()] == [2, 1]
    eventually(lambda: backlog(cloud_fixture) == 0)


def test_pushes_run_beside_each_other(cloud_fixture: CloudFixture, endpoint: Endpoint, url: str) -> None:
    together = threading.Barrier(16, timeout=PATIENCE)

    def answer(_number: int) -> int:
        together.wait()
        return 204

    endpoint.answer = answer
    cloud_fixture.trigger(url)
    cloud_fixture.publish(*[b"x"] * 16)
    eventually(lambda: backlog(cloud_fixture) == 0)
    assert len(endpoint.pushes) == 16


def test_a_service_subscribes_for_a_trigger(
    cloud_fixture: CloudFixture, endpoint: Endpoint, url: str
) -> None:
    name = f"{PROJECT}/subscriptions/eventarc-us-central1-trigger-sub-001"
    cloud_fixture.trigger("http://127.0.0.1:1/", name)
    cloud_fixture.trigger(url, name)
    cloud_fixture.publish(b"x")
    endpoint.wait(1)
    assert [one.name for one in cloud_fixture.subscriber().list_subscriptions(project=PROJECT)] == [name]
    cloud_fixture.service.remove_subscription(name)
    assert not list(cloud_fixture.subscriber().list_subscriptions(project=PROJECT))


@pytest.mark.parametrize(
    ("least", "attempts", "delay"),
    [
        pytest.param("10s", 1, 10, id="first attempt"),
        pytest.param("10s", 4, 80, id="fourth attempt"),
        pytest.param("10s", 5000, 600, id="at most the maximum"),
        pytest.param("0s", 9, 0, id="no minimum"),
    ],
)
def test_the_pause_before_another_delivery(least: str, attempts: int, delay: float) -> None:
    policy = {"minimumBackoff": least, "maximumBackoff": "600s"}
    assert retry_delay(policy, attempts) == pytest.approx(delay)
