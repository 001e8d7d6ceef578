"""Builds on a whole local cloud: the identity of steps, and the APIs that they reach."""

from __future__ import annotations

import threading
import urllib.request
from typing import Any

import pytest
from google.cloud.devtools import cloudbuild_v1
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.profile import FIRST_BUCKET
from tests.localcloud.cloudbuild.cloud_fixture import Json
from tests.polling import eventually

UPLOAD = """#!/usr/bin/env python
import os
import google.auth
import google.auth.transport.requests
from google.cloud import storage
credentials, project = google.auth.default()
client = storage.Client(project=project, credentials=credentials,
    client_options={"api_endpoint": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"]})
client.bucket("local-project-notebooks").blob("notebooks/from-a-step").upload_from_string("hello")
print("uploaded in", project)
"""


def client(cloud: Cloud) -> Any:
    return cloudbuild_v1.CloudBuildClient(
        credentials=Credentials(token=cloud.iam.owner_token),
        client_options={"api_endpoint": cloud.url},
        transport="rest",
    )


def run(cloud: Cloud, build: Json) -> tuple[Any, str]:
    """Run a build to its end; returns it and its log."""
    build_id = client(cloud).create_build(project_id=PROJECT, build=build).metadata.build.id
    route = f"{cloud.url}/_localcloud/builds/{build_id}/log?offset=0"

    def ended() -> bool:
        with urllib.request.urlopen(route) as answer:
            return bool(answer.headers.get("X-Localcloud-Complete") == "true")

    eventually(ended)
    with urllib.request.urlopen(route) as answer:
        log = answer.read().decode()
    return client(cloud).get_build(project_id=PROJECT, id=build_id), log


def as_account(name: str, script: str) -> Json:
    account = f"projects/{PROJECT}/serviceAccounts/{email(name)}"
    return {
        "steps": [{"name": "bash", "script": script}],
        "service_account": account,
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
    }


def test_a_step_uses_googles_clients_as_the_builder(cloud: Cloud) -> None:
    build, log = run(cloud, {"steps": [{"name": "bash", "script": UPLOAD}]})
    assert build.status == cloudbuild_v1.Build.Status.SUCCESS, log
    assert f"uploaded in {PROJECT}" in log
    assert [found["name"] for found in cloud.inventory()["storage.objects"]] == ["notebooks/from-a-step"]
    (shown,) = cloud.inventory()["builds"]
    assert (shown["id"], shown["status"]) == (build.id, "SUCCESS")


def test_a_step_has_the_rights_of_the_builds_account(cloud: Cloud) -> None:
    build, log = run(cloud, as_account("notebook-vm", UPLOAD))
    assert build.status == cloudbuild_v1.Build.Status.FAILURE
    assert f"{email('notebook-vm')} does not have storage.objects.create access" in log
    assert FIRST_BUCKET in log


@pytest.mark.parametrize("name", ["PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "LOCALCLOUD_URL"])
def test_a_step_gets_no_variable_that_google_would_not_give(cloud: Cloud, name: str) -> None:
    _, log = run(cloud, {"steps": [{"name": "bash", "script": f'echo "[${{{name}-unset}}]"'}]})
    assert "[unset]" in log


def test_builds_of_several_accounts_at_once(cloud: Cloud) -> None:
    """Each account's metadata server is started once, also by concurrent calls."""
    ask = 'curl -s -H "Metadata-Flavor: Google" $GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/email'
    found: list[tuple[str, str]] = []
    names = ["notebook-vm", "notebook-deployer", "notebook-trigger"] * 3
    threads = [
        threading.Thread(target=lambda name=name: found.append((name, run(cloud, as_account(name, ask))[1])))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(names)
    assert all(email(name) in log for name, log in found)
