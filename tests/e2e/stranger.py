"""A program that knows nothing of this project.

Google's clients, variables of the environment, and a schedule to be run. Run as a script: stranger.py PROJECT BUCKET
PREFIX. Runs the region's only job, then asks its topic for another day, and prints as JSON which jobs there were and
which parameters the executed notebooks have, by their objects' names.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from google.cloud import pubsub_v1  # type: ignore[attr-defined]
from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.storage import Bucket, Client
from google.oauth2.credentials import Credentials

from tests.patience import PATIENCE


def client(kind: Any, service: str) -> Any:
    """One of Google's clients, as somebody who owns the project."""
    options = {"api_endpoint": os.environ[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"]}
    return kind(
        credentials=Credentials(token=os.environ["LOCALCLOUD_OWNER_TOKEN"]),
        transport="rest",
        client_options=options,
    )


def notebooks(bucket: Bucket, prefix: str) -> dict[str, Any]:
    """The parameters of every executed notebook of a version, by its object's name."""
    return {
        blob.name: json.loads(blob.download_as_bytes())["metadata"]["papermill"]["parameters"]
        for blob in bucket.list_blobs(prefix=f"{prefix}/versions/")
        if blob.name.endswith("/demo.ipynb")
    }


def wait_for(bucket: Bucket, prefix: str, count: int) -> dict[str, Any]:
    """Return the parameters like `notebooks`, as soon as there are `count` notebooks."""
    deadline = time.monotonic() + PATIENCE
    while len(found := notebooks(bucket, prefix)) < count:
        if time.monotonic() > deadline:
            sys.exit(f"only {found} after {PATIENCE:.0f} s")
        time.sleep(0.3)
    return found


def main(project: str, bucket_name: str, prefix: str) -> None:
    """Do it all."""
    bucket = Client(
        project, client_options={"api_endpoint": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"]}
    ).bucket(bucket_name)
    scheduler = client(CloudSchedulerClient, "CLOUDSCHEDULER")
    jobs = list(scheduler.list_jobs(parent=f"projects/{project}/locations/us-central1"))
    scheduler.run_job(name=jobs[0].name)
    scheduled = wait_for(bucket, prefix, 1)
    publisher = client(pubsub_v1.PublisherClient, "PUBSUB")
    publisher.publish(jobs[0].pubsub_target.topic_name, b'{"today": "2018-04-01"}').result(timeout=PATIENCE)
    both = wait_for(bucket, prefix, 2)
    json.dump({"jobs": [job.name for job in jobs], "scheduled": scheduled, "both": both}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
