"""gcloud's own commands on policies, roles and accounts: each does what the set-up needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from localcloud.core.caller import Caller
from localcloud.core.iam import PROJECT, email
from localcloud.profile import EMPTY, FIRST_BUCKET
from localcloud.services.registry import SPECS

pytestmark = pytest.mark.needs("gcloud")

PLACE = f"projects/{PROJECT}"
REGION = "us-central1"
BUCKET = f"projects/_/buckets/{FIRST_BUCKET}"
NEW = email("made-by-gcloud")
MEMBER = f"--member=serviceAccount:{NEW}"
START = f"{BUCKET}/objects/nb/"
SERVICES = frozenset(spec.service for spec in SPECS)
Json = dict[str, Any]
Gcloud = Callable[..., Json]


@pytest.fixture(name="cloud", scope="module")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run an empty project with every service enabled, and one bucket."""
    profile = replace(EMPTY, services=SERVICES)
    with Cloud(tmp_path_factory.mktemp("cloud"), profile=profile, buckets=[FIRST_BUCKET]) as running:
        yield running
        found = running.inventory()
    assert (found["schema_violations"], found["internal_errors"]) == ([], [])


@pytest.fixture(name="gcloud", scope="module")
def _gcloud(cloud: Cloud) -> Gcloud:
    """Return a function that runs gcloud as the project's owner, and returns its output's JSON."""

    def run(*words: str) -> Json:
        done = subprocess.run(
            ["gcloud", *words, "--format=json", "--quiet"],
            env={**os.environ, **cloud.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout or "{}") or {})

    return run


def allowed(cloud: Cloud, permission: str, resource: str) -> bool:
    return cloud.iam.allowed(Caller(NEW), permission, resource)


def test_a_project_is_set_up_by_gcloud(cloud: Cloud, gcloud: Gcloud, tmp_path: Path) -> None:
    bind = "add-iam-policy-binding"
    gcloud("iam", "service-accounts", "create", "made-by-gcloud", "--display-name=D")
    role = gcloud(
        "iam", "roles", "create", "looker", f"--project={PROJECT}", "--title=L", "--permissions=compute.instances.get"
    )  # fmt: skip
    name = 'resource.name.extract("/instances/{name}").startsWith("nb-")'
    gcloud(
        "projects", bind, PROJECT, MEMBER, f"--role={role['name']}", f"--condition=title=nb,expression={name}"
    )
    found = gcloud(
        "projects", bind, PROJECT, MEMBER, "--role=roles/iam.serviceAccountTokenCreator", "--condition=None"
    )
    assert found["version"] == 3
    zone = f"{PLACE}/zones/us-central1-a/instances"
    assert allowed(cloud, "compute.instances.get", f"{zone}/nb-1")
    assert not allowed(cloud, "compute.instances.get", f"{zone}/db-1")
    assert allowed(cloud, "resourcemanager.projects.get", PLACE)

    prefix = f'resource.name.startsWith("{START}")'
    viewer = "--role=roles/storage.objectViewer"
    gcloud(
        "storage", "buckets", bind, f"gs://{FIRST_BUCKET}", MEMBER, viewer, f"--condition=title=p,expression={prefix}"
    )  # fmt: skip
    assert allowed(cloud, "storage.objects.get", f"{START}x")
    assert not allowed(cloud, "storage.objects.get", f"{BUCKET}/objects/x")

    where = f"--location={REGION}"
    gcloud("artifacts", "repositories", "create", "images", "--repository-format=docker", where)
    gcloud("artifacts", "repositories", bind, "images", where, MEMBER, "--role=roles/artifactregistry.reader")
    assert allowed(cloud, "artifactregistry.tags.get", f"{PLACE}/locations/{REGION}/repositories/images")
    gcloud("pubsub", "topics", "create", "news")
    gcloud("pubsub", "topics", bind, "news", MEMBER, "--role=roles/pubsub.publisher")
    assert allowed(cloud, "pubsub.topics.publish", f"{PLACE}/topics/news")
    gcloud("iam", "service-accounts", bind, NEW, MEMBER, "--role=roles/iam.serviceAccountUser")
    assert allowed(cloud, "iam.serviceAccounts.actAs", f"{PLACE}/serviceAccounts/{NEW}")

    gcloud(
        "projects",
        "remove-iam-policy-binding",
        PROJECT,
        MEMBER,
        "--role=roles/iam.serviceAccountTokenCreator",
        "--condition=None",
    )
    assert not allowed(cloud, "resourcemanager.projects.get", PLACE)
    gcloud("iam", "service-accounts", "delete", NEW)
    assert not allowed(cloud, "compute.instances.get", f"{zone}/nb-1")
