"""Builds of a whole local cloud read their secrets from its Secret Manager, as their own account."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import secretmanager_v1
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import email
from localcloud.profile import DEFAULT_ACCOUNT
from tests.localcloud.cloudbuild.test_whole_cloud import run
from tests.localcloud.secretmanager.conftest import AUTOMATIC, PROJECT
from tests.localcloud.secretmanager.test_keeping import CANARY, written_with_canary

SECRET = f"{PROJECT}/secrets/token"
VERSION = f"{SECRET}/versions/latest"
BUILD = {
    "steps": [{"name": "bash", "script": "echo ${#TOKEN}", "secret_env": ["TOKEN"]}],
    "available_secrets": {"secret_manager": [{"version_name": VERSION, "env": "TOKEN"}]},
    "options": {"logging": "CLOUD_LOGGING_ONLY"},
}


@pytest.fixture
def secrets(cloud: Cloud) -> Any:
    """Make a secret with one version, and return the owner's client."""
    client: Any = secretmanager_v1.SecretManagerServiceClient(
        credentials=Credentials(token=cloud.iam.owner_token),
        transport="rest",
        client_options={"api_endpoint": cloud.url},
    )
    client.create_secret(parent=PROJECT, secret_id="token", secret=AUTOMATIC)
    client.add_secret_version(parent=SECRET, payload={"data": CANARY.encode()})
    return client


def test_a_build_gets_a_secret_that_its_account_may_read(cloud: Cloud, secrets: Any) -> None:
    binding = {
        "role": "roles/secretmanager.secretAccessor",
        "members": [f"serviceAccount:{email(DEFAULT_ACCOUNT)}"],
    }
    secrets.set_iam_policy(request={"resource": SECRET, "policy": {"bindings": [binding]}})
    build, log = run(cloud, BUILD)
    assert build.status.name == "SUCCESS"
    assert str(len(CANARY)) in log.splitlines()
    assert CANARY not in f"{build} {log} {cloud.inventory()}"
    assert written_with_canary(cloud.state) == ["secretmanager/secrets.json"]


@pytest.mark.usefixtures("secrets")
def test_a_build_whose_account_may_not_read_a_secret_fails(cloud: Cloud) -> None:
    build, log = run(cloud, BUILD)
    assert build.status.name == "FAILURE"
    words = (
        f"rpc error: code = PermissionDenied desc = Permission 'secretmanager.versions.access' denied for resource "
        f"'{VERSION}' (or it may not exist)."
    )
    assert words in build.status_detail
    assert words in log
