"""Secrets by Google's own client: create, get, list, delete, and refusals."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions

from tests.localcloud.secretmanager.conftest import AUTOMATIC, NUMBERED, PROJECT, CloudFixture
from tests.owner import signed

Json = dict[str, Any]


def raw(cloud_fixture: CloudFixture, verb: str, path: str, body: Json | None = None) -> Json:
    """Call without a client; return an error's JSON."""
    data = None if body is None else json.dumps(body).encode()
    url = f"{cloud_fixture.url}/v1/{path}"
    request = urllib.request.Request(url, data, signed(cloud_fixture.iam), method=verb)
    try:
        with urllib.request.urlopen(request) as answer:
            found: Json = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            found = json.load(error)
    return found


def test_a_secret_is_made_and_read(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.secret("db-password_1")
    assert made.name == f"{NUMBERED}/secrets/db-password_1"
    assert "automatic" in made.replication
    assert abs(made.create_time.timestamp() - cloud_fixture.clock.now()) < 600
    for name in (f"{PROJECT}/secrets/db-password_1", made.name):
        assert cloud_fixture.client().get_secret(name=name) == made


@pytest.mark.parametrize(
    "secret_id", ["a.b", "ü", "x" * 256, "a b", "a:b"], ids=["dot", "not ASCII", "too long", "space", "colon"]
)
def test_an_id_that_is_none(cloud_fixture: CloudFixture, secret_id: str) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        cloud_fixture.secret(secret_id)
    assert f"The provided Secret ID [{secret_id}] does not match the expected format" in caught.value.message


def test_an_id_has_up_to_255_characters(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret("x" * 255)
    assert cloud_fixture.version(secret_id="x" * 255).name == f"{NUMBERED}/secrets/{'x' * 255}/versions/1"


def test_no_id_at_all(cloud_fixture: CloudFixture) -> None:
    error = raw(cloud_fixture, "POST", f"{PROJECT}/secrets", AUTOMATIC)["error"]
    words = "The provided Secret ID [] does not match the expected format [[a-zA-Z_0-9]+]"
    assert error == {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}


def test_an_id_that_is_taken(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    with pytest.raises(exceptions.Conflict) as caught:
        cloud_fixture.secret()
    assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/s] already exists.")


def test_a_secret_needs_a_replication(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(exceptions.BadRequest, match="exactly one of 'automatic' and 'userManaged'"):
        cloud_fixture.secret(replication={})
    assert list(cloud_fixture.client().list_secrets(parent=PROJECT)) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"rotation": {"rotation_period": timedelta(days=1)}}, id="rotation"),
        pytest.param({"labels": {"team": "data"}}, id="labels"),
        pytest.param({"topics": [{"name": "projects/p/topics/t"}]}, id="topics"),
        pytest.param({"secret_type": "OTHER"}, id="type"),
        pytest.param({"version_destroy_ttl": timedelta(days=1)}, id="delayed destruction"),
        pytest.param({"ttl": timedelta(days=1)}, id="expiry"),
        pytest.param({"annotations": {"a": "b"}}, id="annotations"),
        pytest.param({"version_aliases": {"prod": 1}}, id="aliases"),
        pytest.param(
            {"replication": {"user_managed": {"replicas": [{"location": "us-east1"}]}}}, id="replicas"
        ),
        pytest.param(
            {"replication": {"automatic": {"customer_managed_encryption": {"kms_key_name": "k"}}}},
            id="KMS key",
        ),
    ],
)
def test_fields_of_a_secret_that_are_not_covered_are_refused(
    cloud_fixture: CloudFixture, fields: Json
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="does not implement"):
        cloud_fixture.secret(**fields)


def test_a_secret_that_is_not_there(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    name = f"{PROJECT}/secrets/nothing"
    calls: tuple[Callable[[], object], ...] = (
        lambda: client.get_secret(name=name),
        lambda: client.delete_secret(name=name),
        lambda: client.list_secret_versions(parent=name),
        lambda: client.add_secret_version(parent=name, payload={"data": b"x"}),
        lambda: client.get_iam_policy(request={"resource": name}),
        lambda: client.set_iam_policy(request={"resource": name, "policy": {}}),
    )
    for call in calls:
        with pytest.raises(exceptions.NotFound) as caught:
            call()
        assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/nothing] not found.")


def test_another_project_is_denied_also_to_the_owner(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(exceptions.Forbidden) as caught:
        cloud_fixture.client().get_secret(name="projects/other/secrets/s")
    words = "Permission 'secretmanager.secrets.get' denied for resource 'projects/other/secrets/s' (or it may not exist)."
    assert caught.value.message.endswith(words)


def test_secrets_are_listed_in_pages_newest_first(cloud_fixture: CloudFixture) -> None:
    for number in range(5):
        cloud_fixture.secret(f"s{number}")
    pages = list(cloud_fixture.client().list_secrets(request={"parent": PROJECT, "page_size": 2}).pages)
    listed = [[secret.name.rpartition("/")[2] for secret in page.secrets] for page in pages]
    assert listed == [["s4", "s3"], ["s2", "s1"], ["s0"]]
    assert [page.total_size for page in pages] == [5, 5, 5]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filter=name%3Ax", 501),
        ("pageToken=nonsense", 400),
        ("pageSize=-1", 400),
    ],
)
def test_a_list_call_that_is_refused(cloud_fixture: CloudFixture, query: str, status: int) -> None:
    cloud_fixture.secret()
    assert raw(cloud_fixture, "GET", f"{PROJECT}/secrets?{query}")["error"]["code"] == status


def test_an_etag_is_not_covered(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    version = cloud_fixture.version()
    with pytest.raises(exceptions.MethodNotImplemented, match="etag"):
        cloud_fixture.client().delete_secret(request={"name": f"{PROJECT}/secrets/s", "etag": "x"})
    with pytest.raises(exceptions.MethodNotImplemented, match="etag"):
        cloud_fixture.client().destroy_secret_version(request={"name": version.name, "etag": "x"})
    assert cloud_fixture.client().get_secret_version(name=version.name) == version


def test_a_deleted_secret_is_gone_and_its_id_free(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    cloud_fixture.version(b"old")
    cloud_fixture.grant("roles/secretmanager.secretAccessor", "allAuthenticatedUsers")
    cloud_fixture.client().delete_secret(name=f"{PROJECT}/secrets/s")
    assert list(cloud_fixture.client().list_secrets(parent=PROJECT)) == []
    cloud_fixture.secret()
    assert list(cloud_fixture.client().list_secret_versions(parent=f"{PROJECT}/secrets/s")) == []
    cloud_fixture.version(b"new")
    with pytest.raises(exceptions.Forbidden):
        cloud_fixture.client("notebook-vm").access_secret_version(name=f"{PROJECT}/secrets/s/versions/1")


def test_updates_are_not_covered(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.secret()
    with pytest.raises(exceptions.MethodNotImplemented, match=r"projects\.secrets\.patch"):
        cloud_fixture.client().update_secret(secret={"name": made.name}, update_mask={"paths": ["labels"]})


def test_regional_secrets_are_not_covered(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=r"projects\.locations\.secrets\.get"):
        cloud_fixture.client().get_secret(name=f"{PROJECT}/locations/us-central1/secrets/s")
    for path in (f"{PROJECT}/secrets/s:rotateSecret", f"{PROJECT}/locations/us-east1/secrets?secretId=s"):
        assert raw(cloud_fixture, "POST", path, {})["error"]["code"] == 501


def test_a_secret_is_listed_in_the_inventory(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    cloud_fixture.version()
    cloud_fixture.version()
    cloud_fixture.client().disable_secret_version(name=f"{PROJECT}/secrets/s/versions/1")
    states = [{"version": "1", "state": "DISABLED"}, {"version": "2", "state": "ENABLED"}]
    assert cloud_fixture.service.inventory() == {"secrets": [{"name": "s", "versions": states}]}
