"""Service Usage with Google's own client, and the refusal of a service that is not enabled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import compute_v1, secretmanager_v1
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from localcloud.cloud import Cloud
from localcloud.core.enabled import ENABLED_BY_DEFAULT
from localcloud.profile import PROFILE

PROJECT = "projects/local-project"
NEW = replace(PROFILE, services=ENABLED_BY_DEFAULT)
SECRETS = "secretmanager.googleapis.com"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Run a cloud whose project has only Google's defaults enabled."""
    with Cloud(tmp_path / "state", profile=NEW) as running:
        yield running
        inventory = running.inventory()
    assert (inventory["schema_violations"], inventory["internal_errors"]) == ([], [])


def options(cloud: Cloud, service: str) -> Any:
    """Return the arguments of a client that calls a service as the project's owner."""
    address = cloud.environment()[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"]
    return {
        "credentials": Credentials(token=cloud.iam.owner_token),
        "client_options": {"api_endpoint": address},
    }


@contextlib.contextmanager
def usage(cloud: Cloud) -> Iterator[Any]:
    """Yield Google's client of Service Usage."""
    with build("serviceusage", "v1", cache_discovery=False, **options(cloud, "SERVICEUSAGE")) as client:
        yield client


def secrets(cloud: Cloud, service: str = "SECRETMANAGER") -> list[Any]:
    """List the secrets at the address of a service."""
    client = secretmanager_v1.SecretManagerServiceClient(transport="rest", **options(cloud, service))
    return list(client.list_secrets(parent=PROJECT))


def enable(cloud: Cloud, *names: str) -> Any:
    with usage(cloud) as client:
        begun = client.services().batchEnable(parent=PROJECT, body={"serviceIds": list(names)}).execute()
        return client.operations().get(name=begun["name"]).execute()


def test_a_service_works_once_it_is_enabled(cloud: Cloud) -> None:
    with pytest.raises(Forbidden) as refused:
        secrets(cloud)
    assert "Secret Manager API has not been used in project 123456789012 before" in str(refused.value)
    assert refused.value.reason == "SERVICE_DISABLED"
    assert refused.value.domain == "googleapis.com"
    assert refused.value.metadata["service"] == SECRETS
    assert refused.value.metadata["consumer"] == "projects/123456789012"
    done = enable(cloud, SECRETS, "pubsub.googleapis.com")
    assert done["done"]
    assert [each["state"] for each in done["response"]["services"]] == ["ENABLED", "ENABLED"]
    assert secrets(cloud) == []


def test_the_older_apis_say_access_not_configured(cloud: Cloud) -> None:
    zones = compute_v1.ZonesClient(**options(cloud, "COMPUTE"))
    with pytest.raises(Forbidden) as refused:
        list(zones.list(project="local-project"))
    assert refused.value.errors[0]["reason"] == "accessNotConfigured"
    assert refused.value.errors[0]["domain"] == "usageLimits"
    assert "Compute Engine API has not been used" in refused.value.message


def test_services_are_listed_by_state(cloud: Cloud) -> None:
    enable(cloud, SECRETS)
    with usage(cloud) as client:
        services = client.services()
        listed = services.list(parent=PROJECT, filter="state:ENABLED", pageSize=200).execute()
        names = {each["config"]["name"] for each in listed["services"]}
        assert names == {*ENABLED_BY_DEFAULT, SECRETS}
        first = services.list(parent=PROJECT, filter="state:DISABLED", pageSize=2).execute()
        assert [each["state"] for each in first["services"]] == ["DISABLED", "DISABLED"]
        assert first["nextPageToken"]
        one = services.get(name=f"{PROJECT}/services/{SECRETS}").execute()
        assert (one["state"], one["config"]["title"]) == ("ENABLED", "Secret Manager API")
        with pytest.raises(HttpError, match="Invalid filter"):
            services.list(parent=PROJECT, filter="name:x").execute()


def test_a_service_is_disabled_again(cloud: Cloud) -> None:
    enable(cloud, SECRETS)
    with usage(cloud) as client:
        client.services().disable(name=f"{PROJECT}/services/{SECRETS}", body={}).execute()
    with pytest.raises(Forbidden, match="or it is disabled"):
        secrets(cloud)


def test_an_unknown_service_is_refused(cloud: Cloud) -> None:
    with pytest.raises(HttpError, match=r"Not found or permission denied for service\(s\): secrets"):
        enable(cloud, SECRETS, "secrets.googleapis.com")
    with pytest.raises(Forbidden):
        secrets(cloud)


def test_what_is_enabled_is_kept(tmp_path: Path) -> None:
    with Cloud(tmp_path, profile=NEW) as cloud:
        enable(cloud, SECRETS)
    with Cloud(tmp_path, profile=NEW) as again:
        assert secrets(again) == []


def test_a_service_answers_only_at_its_own_address(cloud: Cloud) -> None:
    enable(cloud, SECRETS, "pubsub.googleapis.com")
    with pytest.raises(NotFound, match=r"no method of pubsub\.googleapis\.com has this form"):
        secrets(cloud, "PUBSUB")
