"""A served Cloud Scheduler with a Pub/Sub, and Google's own clients for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1, scheduler_v1  # type: ignore[attr-defined]

from localcloud.services.pubsub import PubSubService
from localcloud.services.scheduler import SchedulerService
from tests.localcloud.served import Served, restarting

PROJECT = "projects/local-project"
REGION = f"{PROJECT}/locations/us-central1"
JOB = f"{REGION}/jobs/nightly"
TOPIC = f"{PROJECT}/topics/news"
SUBSCRIPTION = f"{PROJECT}/subscriptions/reader"


class CloudFixture(Served):
    """Both services on a state directory; `close` and another one on it are a restart."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.pubsub = PubSubService(
            state,
            self.clock,
            self.iam,
            self.faults,
            authorization=lambda account: account,
            on_error=self.findings.error,
        )
        self.service = SchedulerService(state, self.clock, self.pubsub.publish)
        self.serve(self.pubsub, self.service)

    def client(self, account: str | None = None) -> Any:
        """Return Google's Scheduler client, as an account or as the project's owner."""
        return scheduler_v1.CloudSchedulerClient(**self.options(account))

    def topic(self) -> None:
        """Make the topic and a subscription to it, as the owner."""
        pubsub_v1.PublisherClient(**self.options()).create_topic(name=TOPIC)
        subscriber = pubsub_v1.SubscriberClient(**self.options())
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)

    def delete_topic(self) -> None:
        """Delete the topic, as the owner."""
        pubsub_v1.PublisherClient(**self.options()).delete_topic(topic=TOPIC)

    def published(self) -> list[Any]:
        """Return the messages since the last call, without waiting."""
        client = pubsub_v1.SubscriberClient(**self.options())
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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], CloudFixture]]:
    """Start the services on the test's state directory; all that were started are closed at the end."""
    yield from restarting(lambda: CloudFixture(tmp_path / "state"))


@pytest.fixture
def cloud_fixture(start: Callable[[], CloudFixture]) -> CloudFixture:
    """Run the services."""
    return start()
