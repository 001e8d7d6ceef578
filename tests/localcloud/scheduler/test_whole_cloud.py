"""A whole local cloud: the Scheduler publishes, Pub/Sub pushes with a token, and both keep their state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import pubsub_v1, scheduler_v1  # type: ignore[attr-defined]
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import email
from localcloud.services.pubsub import PubSubService
from tests.localcloud.pubsub.conftest import Endpoint, endpoint, pushing, url
from tests.localcloud.scheduler.conftest import JOB, REGION, SUBSCRIPTION, TOPIC

__all__ = ["endpoint", "url"]


def options(cloud: Cloud) -> Any:
    return {
        "credentials": Credentials(token=cloud.iam.owner_token),
        "transport": "rest",
        "client_options": {"api_endpoint": cloud.url},
    }


def test_from_the_schedule_to_the_endpoint_and_again_after_a_restart(
    tmp_path: Path, endpoint: Endpoint, url: str
) -> None:
    with Cloud(tmp_path) as cloud:
        pubsub_v1.PublisherClient(**options(cloud)).create_topic(name=TOPIC)
        (pubsub,) = (part for part in cloud._parts if isinstance(part, PubSubService))
        pubsub.ensure_subscription(SUBSCRIPTION, pushing(url))
        target: Any = {"topic_name": TOPIC, "data": b"{}"}
        job: Any = {"name": JOB, "schedule": "0 5 * * *", "pubsub_target": target}
        scheduler = scheduler_v1.CloudSchedulerClient(**options(cloud))
        made = scheduler.create_job(parent=REGION, job=job)
        cloud.clock.advance(made.schedule_time.timestamp() - cloud.clock.now() + 1)
        endpoint.wait(1)
        authorization = endpoint.pushes[0][0]["Authorization"]
        assert cloud.iam.caller(authorization).email == email("notebook-trigger")
    with Cloud(tmp_path) as cloud:
        scheduler_v1.CloudSchedulerClient(**options(cloud)).run_job(name=JOB)
        assert endpoint.wait(2)[1]["message"]["data"] == "e30="
        inventory = cloud.inventory()
    assert [one["name"] for one in inventory["scheduler.jobs"]] == ["nightly"]
    assert [one["name"] for one in inventory["pubsub.topics"]] == ["news"]
    assert (inventory["schema_violations"], inventory["internal_errors"]) == ([], [])
