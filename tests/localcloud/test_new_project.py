"""`exec --project empty`: a new project, as Google's clients and gcloud see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

LOOK = """
import json, os
import google.auth
import requests
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage

credentials, project = google.auth.default()
session = AuthorizedSession(credentials)
address = {service: os.environ[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"] for service in ("STORAGE", "IAM", "COMPUTE")}
seen = {
    "project": project,
    "buckets": [
        bucket.name for bucket in storage.Client(
            client_options={"api_endpoint": address["STORAGE"]}
        ).list_buckets()
    ],
    "compute": session.get(f"{address['COMPUTE']}projects/{project}/zones").json()["error"]["details"][0]["reason"],
    "doubled": session.get(f"{address['COMPUTE']}/compute/v1/projects/{project}/zones").status_code,
    "accounts": session.get(f"{address['IAM']}v1/projects/{project}/serviceAccounts").status_code,
    "anonymous": requests.get(f"{address['STORAGE']}b?project={project}").status_code,
}
print(json.dumps(seen))
"""

COMMANDS = """
set -eu
gcloud services enable compute.googleapis.com artifactregistry.googleapis.com eventarc.googleapis.com
gcloud beta services identity create --service=eventarc.googleapis.com
subnet="compute networks subnets"
gcloud $subnet update default --region=us-central1 --enable-private-ip-google-access
gcloud $subnet describe default --region=us-central1 --format='value(privateIpGoogleAccess)'
gcloud $subnet list --network=default --filter=region:us-central1 --format='value(name)'
gcloud compute instances list --format='value(name)'
gcloud compute routers create router --network=default --region=us-central1
gcloud compute routers nats create nat --router=router --region=us-central1 --auto-allocate-nat-external-ips \
  --nat-all-subnet-ip-ranges
gcloud compute routers nats list --router=router --region=us-central1 --format='value(name)'
gcloud storage buckets create gs://local-project-notebooks --location=us-central1 --uniform-bucket-level-access \
  --public-access-prevention
gcloud storage buckets describe gs://local-project-notebooks --format='value(public_access_prevention)'
gcloud artifacts repositories create images --repository-format=docker --location=us-central1 --description=Images
gcloud artifacts repositories create pypi --repository-format=python --location=us-central1 \
  --mode=remote-repository --remote-repo-config-desc=PyPI --remote-python-repo=PYPI
gcloud artifacts repositories describe pypi --location=us-central1 --format='value(mode)'
gcloud artifacts repositories delete pypi --location=us-central1 --quiet
"""


def in_new_project(*command: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "localcloud",
            "exec",
            "--project",
            "empty",
            "--state",
            str(state),
            "--",
            *command,
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a_new_project_has_nothing_and_its_owner_has_a_token(tmp_path: Path) -> None:
    done = in_new_project(sys.executable, "-c", LOOK, state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "project": "local-project",
        "buckets": [],
        "compute": "SERVICE_DISABLED",
        "accounts": 403,
        "doubled": 403,
        "anonymous": 401,
    }
    inventory = json.loads((tmp_path / "inventory.json").read_text())
    assert inventory["storage.objects"] == inventory["artifactregistry.repositories"] == []
    assert inventory["schema_violations"] == inventory["internal_errors"] == []


@pytest.mark.needs("gcloud")
def test_gcloud_sets_services_network_bucket_and_repositories_up(tmp_path: Path) -> None:
    done = in_new_project("bash", "-c", COMMANDS, state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [
        "True",
        "default",
        "NAME    REGION       NETWORK",
        "router  us-central1  default",
        "nat",
        "enforced",
        "REMOTE_REPOSITORY",
        "",
    ]
    inventory = json.loads((tmp_path / "inventory.json").read_text())
    assert [each["name"].rpartition("/")[2] for each in inventory["artifactregistry.repositories"]] == [
        "images"
    ]
    assert inventory["schema_violations"] == inventory["internal_errors"] == []
