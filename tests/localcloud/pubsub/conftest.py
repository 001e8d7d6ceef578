"""A served Pub/Sub, Google's own clients for it, and an endpoint that takes pushes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1  # type: ignore[attr-defined]
from google.pubsub_v1 import PublisherClient
from werkzeug import Request, Response

from localcloud.core.http import Listener
from localcloud.core.iam import email
from localcloud.services.pubsub import PubSubService
from tests.localcloud.served import Served, restarting
from tests.patience import PATIENCE

PROJECT = "projects/local-project"
TOPIC = f"{PROJECT}/topics/news"
SUBSCRIPTION = f"{PROJECT}/subscriptions/reader"


class CloudFixture(Served):
    """One served Pub/Sub on a state directory; `close` and another one on it are a restart."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.service = PubSubService(
            state,
            self.clock,
            self.iam,
            self.faults,
            authorization=lambda account: f"Bearer {account}",
            on_error=self.findings.error,
        )
        self.serve(self.service)

    def publisher(self, account: str | None = None) -> Any:
        """Return Google's publisher client, as an account or as the project's owner."""
        return pubsub_v1.PublisherClient(**self.options(account))

    def subscriber(self, account: str | None = None) -> Any:
        """Return Google's subscriber client, as an account or as the project's owner."""
        return pubsub_v1.SubscriberClient(**self.options(account))

    def topic(self, name: str = TOPIC, **fields: Any) -> Any:
        """Make a topic, as the owner."""
        return self.publisher().create_topic(request={"name": name, **fields})

    def subscription(self, name: str = SUBSCRIPTION, **fields: Any) -> Any:
        """Make a subscription, as the owner."""
        return self.subscriber().create_subscription(request={"name": name, "topic": TOPIC, **fields})

    def trigger(self, url: str, name: str = SUBSCRIPTION, **fields: Any) -> None:
        """Make or change a subscription that pushes, as Cloud Functions does."""
        self.service.ensure_subscription(name, pushing(url, **fields))

    def publish(self, *messages: bytes | dict[str, Any], topic: str = TOPIC) -> list[str]:
        """Publish in one request, as the owner; return the messages' ids."""
        plain = [{"data": one} if isinstance(one, bytes) else one for one in messages]
        client = PublisherClient(**self.options())
        return list(client.publish(request={"topic": topic, "messages": plain}).message_ids)

    def pull(self, name: str = SUBSCRIPTION, most: int = 100) -> list[Any]:
        """Return the messages that may be delivered now."""
        request = {"subscription": name, "max_messages": most}
        return list(self.subscriber().pull(request=request).received_messages)


def pushing(url: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a subscription that pushes."""
    return {
        "topic": TOPIC,
        "ackDeadlineSeconds": 600,
        "messageRetentionDuration": "86400s",
        "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
        "pushConfig": {
            "pushEndpoint": url,
            "oidcToken": {"serviceAccountEmail": email("notebook-trigger"), "audience": "https://service"},
        },
        **fields,
    }


@dataclass
class Endpoint:
    """An HTTP server that takes pushes; `answer` gives the status of the n-th request, from 0 on."""

    answer: Callable[[int], int] = lambda _number: 204
    pushes: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def respond(self, request: Request) -> Response:
        """Take one push."""
        with self._arrived:
            number = len(self.pushes)
            self.pushes.append((dict(request.headers), json.loads(request.get_data())))
            self._arrived.notify_all()
        return Response(status=self.answer(number))

    def wait(self, count: int) -> list[Any]:
        """Return the bodies once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.pushes) >= count, PATIENCE), self.pushes
        return [body for _, body in self.pushes]


@pytest.fixture
def endpoint() -> Endpoint:
    """Return an endpoint, which the fixture `url` serves."""
    return Endpoint()


@pytest.fixture
def url(endpoint: Endpoint) -> Iterator[str]:
    """Serve the endpoint."""
    listener = Listener(endpoint.respond, 0)
    listener.start()
    yield f"http://{listener.address}/push"
    listener.close()


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return the status name and the message of a call that must fail."""
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        call()
    error = caught.value.response.json()["error"]
    assert set(error) == {"code", "message", "status"}
    return error["status"], error["message"]


def data(received: list[Any]) -> list[bytes]:
    """Return the data of messages pulled."""
    return [one.message.data for one in received]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], CloudFixture]]:
    """Start a Pub/Sub on the test's state directory; all that were started are closed at the end."""
    yield from restarting(lambda: CloudFixture(tmp_path / "state"))


@pytest.fixture
def cloud_fixture(start: Callable[[], CloudFixture]) -> CloudFixture:
    """Run one Pub/Sub."""
    return start()
