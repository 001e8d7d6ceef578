"""gcloud's own list commands show the resources of one cloud."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localcloud.core.iam import email
from localcloud.services.registry import SPECS
from tests.localcloud.compute.conftest import ZONE, vm_body
from tests.localcloud.functions.conftest import PROJECT, REGION, CloudFixture
from tests.polling import eventually

pytestmark = pytest.mark.needs("gcloud")

# Where gcloud begins the paths of a service's methods, if not at the root.
PATHS = {"COMPUTE": "compute/v1/", "STORAGE": "storage/v1/"}
# Each command, the values that it prints, and what they must be.
LISTS = {
    "compute instances list": ("name,status", "vm-1 RUNNING"),
    "builds list": ("status,steps[0].name", "FAILURE ubuntu"),
    "functions list": ("name.basename(),state", "nightly ACTIVE"),
    "scheduler jobs list --location=us-central1": (
        "name.basename(),schedule,state",
        "nightly 0 6 * * * ENABLED",
    ),
    "run services list": ("metadata.name,region,status.conditions[0].status", "nightly us-central1 True"),
    "pubsub topics list": ("name.basename()", "news"),
    "secrets list": ("name.basename()", "key"),
    "storage ls": ("", "gs://local-project-notebooks/"),
    f"iam service-accounts list --filter=email:{email('notebook-vm')}": ("email", email("notebook-vm")),
}


def fill(cloud_fixture: CloudFixture) -> None:
    """Make one resource of each kind."""
    cloud_fixture.create()
    job = {
        "name": f"{REGION}/jobs/nightly",
        "schedule": "0 6 * * *",
        "pubsubTarget": {"topicName": f"{PROJECT}/topics/news", "data": "e30="},
    }
    build = {
        "steps": [{"name": "ubuntu", "args": ["false"]}],
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
        "serviceAccount": f"{PROJECT}/serviceAccounts/{email('image-builder')}",
    }
    cloud_fixture.cloud.faults.add({"method": "vm.boot", "action": "idle"})
    for path, body in (
        (f"/v1/{REGION}/jobs", job),
        (f"/v1/{PROJECT}/secrets?secretId=key", {"replication": {"automatic": {}}}),
        (f"/compute/v1/{PROJECT}/zones/{ZONE}/instances", vm_body()),
        (f"/v1/{PROJECT}/builds", build),
    ):
        answer = cloud_fixture.call("POST", path, body)
        assert answer.status_code == 200, answer.text
    inventory = cloud_fixture.cloud.inventory
    eventually(lambda: inventory()["compute.instances"][0]["status"] == "RUNNING")
    eventually(lambda: inventory()["builds"][0]["status"] == "FAILURE")


def test_lists_show_what_there_is(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    fill(cloud_fixture)
    url = cloud_fixture.cloud.url
    endpoints = {spec.endpoint: f"{url}/{PATHS.get(spec.endpoint, '')}" for spec in SPECS if spec.endpoint}
    variables = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "local-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": cloud_fixture.cloud.environment()[
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"
        ],
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": address for name, address in endpoints.items()},
    }

    def listed(command: str) -> str:
        fields = LISTS[command][0]
        done = subprocess.run(
            ["gcloud", *command.split(), *([f"--format=value[separator=' ']({fields})"] if fields else [])],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else f"{done.returncode}: {done.stderr}"

    with ThreadPoolExecutor(2) as pool:
        shown = dict(zip(LISTS, pool.map(listed, LISTS), strict=True))
    assert shown == {command: wanted for command, (_, wanted) in LISTS.items()}
