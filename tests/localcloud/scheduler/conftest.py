"""A served Cloud Scheduler with a Pub/Sub, and Google's own clients for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, scheduler_v1  # type: ignore[attr-defined]
from google.oauth2.credentials import Credentials
from werkzeug import Response

from localcloud.clock import Clock
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import Iam, email
from localcloud.pubsub import PubSubService
from localcloud.scheduler import SchedulerService
from localcloud.server import Server

PROJECT = "projects/local-project"
REGION = f"{PROJECT}/locations/us-central1"
JOB = f"{REGION}/jobs/nightly"
TOPIC = f"{PROJECT}/topics/news"
SUBSCRIPTION = f"{PROJECT}/subscriptions/reader"


class World:
    """Both services on a state directory; `close` and another `World` on it are a restart."""

    def __init__(self, state: Path) -> None:
        self.findings = Findings()
        self.clock = Clock(lambda error: self.findings.error("a timer", error))
        self.iam = Iam()
        self.faults = FaultPlan()
        self.pubsub = PubSubService(
            state,
            self.clock,
            self.iam,
            self.faults,
            authorization=lambda account, _audience: account,
            on_error=self.findings.error,
        )
        self.service = SchedulerService(state, self.clock, self.pubsub.publish)
        self._server = Server(
            services=[self.pubsub, self.service],
            raw_services=[],
            control=lambda _request: Response(status=404),
            iam=self.iam,
            faults=self.faults,
            findings=self.findings,
            now=self.clock.now,
        )
        self._server.start()

    def client(self, account: str | None = None) -> Any:
        """Return Google's Scheduler client, as an account or as the project's owner."""
        return scheduler_v1.CloudSchedulerClient(**self._options(account))

    def _options(self, account: str | None = None) -> Any:
        credentials: Any = AnonymousCredentials()
        if account is not None:
            credentials = Credentials(token=self.iam.token(email(account))[0])
        endpoint = {"api_endpoint": self._server.url}
        return {"credentials": credentials, "transport": "rest", "client_options": endpoint}

    def topic(self) -> None:
        """Make the topic and a subscription to it, as the owner."""
        pubsub_v1.PublisherClient(**self._options()).create_topic(name=TOPIC)
        subscriber = pubsub_v1.SubscriberClient(**self._options())
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)

    def delete_topic(self) -> None:
        """Delete the topic, as the owner."""
        pubsub_v1.PublisherClient(**self._options()).delete_topic(topic=TOPIC)

    def published(self) -> list[Any]:
        """Return the messages that have come since the last look, without waiting."""
        client = pubsub_v1.SubscriberClient(**self._options())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            request = {"subscription": SUBSCRIPTION, "max_messages": 1000, "return_immediately": True}
            received = list(client.pull(request=request).received_messages)
        if received:
            client.acknowledge(subscription=SUBSCRIPTION, ack_ids=[one.ack_id for one in received])
        return [one.message for one in received]

    def job(self, **fields: Any) -> Any:
        """Make a job that publishes each hour, as the owner; fields of None are left out."""
        body = {
            "name": JOB,
            "schedule": "0 * * * *",
            "pubsub_target": {"topic_name": TOPIC, "data": b"go"},
            **fields,
        }
        given = {key: value for key, value in body.items() if value is not None}
        return self.client().create_job(parent=REGION, job=given)

    def get(self) -> Any:
        """Return the job, as the owner."""
        return self.client().get_job(name=JOB)

    def until(self, job: Any) -> None:
        """Move the clock to a second after the job's next time."""
        self.clock.advance(job.schedule_time.timestamp() - self.clock.now() + 1)

    def close(self) -> None:
        """Stop; nothing that localcloud itself did may have been wrong."""
        self.pubsub.close()
        self._server.close()
        self.clock.close()
        found = self.findings.inventory()
        assert found["schema_violations"] == []
        assert found["internal_errors"] == []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Start the services on the test's state directory; all that were started are closed at the end."""
    worlds: list[World] = []

    def begin() -> World:
        for earlier in worlds:
            earlier.close()
        worlds[:] = [World(tmp_path / "state")]
        return worlds[0]

    yield begin
    for world in worlds:
        world.close()


@pytest.fixture
def world(start: Callable[[], World]) -> World:
    """Run the services."""
    return start()
