"""Secrets by Google's own client: create, get, list, patch, delete, and what is refused."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions

from tests.localcloud.secretmanager.conftest import AUTOMATIC, NUMBERED, PROJECT, World

Json = dict[str, Any]


def raw(world: World, verb: str, path: str, body: Json | None = None) -> Json:
    """Call without a client; an error is answered as its JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{world.url}/v1/{path}", data, method=verb)
    try:
        with urllib.request.urlopen(request) as answer:
            found: Json = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            found = json.load(error)
    return found


def test_a_secret_is_made_and_read(world: World) -> None:
    made = world.secret("db-password_1", labels={"team": "data"}, annotations={"Owner.x": "me"})
    assert made.name == f"{NUMBERED}/secrets/db-password_1"
    assert (dict(made.labels), dict(made.annotations)) == ({"team": "data"}, {"Owner.x": "me"})
    assert "automatic" in made.replication
    assert abs(made.create_time.timestamp() - world.clock.now()) < 10
    assert made.etag.startswith('"')
    for name in (f"{PROJECT}/secrets/db-password_1", made.name):
        assert world.client().get_secret(name=name) == made


def test_a_secret_in_chosen_regions(world: World) -> None:
    replicas = [{"location": "us-east1"}, {"location": "europe-west4"}]
    made = world.secret(replication={"user_managed": {"replicas": replicas}})
    assert [replica.location for replica in made.replication.user_managed.replicas] == [
        "us-east1",
        "europe-west4",
    ]
    status = world.version().replication_status
    assert [replica.location for replica in status.user_managed.replicas] == ["us-east1", "europe-west4"]


@pytest.mark.parametrize(
    "secret_id", ["a.b", "ü", "x" * 256, "a b", "a:b"], ids=["dot", "not ASCII", "too long", "space", "colon"]
)
def test_an_id_that_is_none(world: World, secret_id: str) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        world.secret(secret_id)
    assert f"The provided Secret ID [{secret_id}] does not match the expected format" in caught.value.message


def test_an_id_has_up_to_255_characters(world: World) -> None:
    world.secret("x" * 255)
    assert world.version(secret_id="x" * 255).name == f"{NUMBERED}/secrets/{'x' * 255}/versions/1"


def test_no_id_at_all(world: World) -> None:
    error = raw(world, "POST", f"{PROJECT}/secrets", AUTOMATIC)["error"]
    words = "The provided Secret ID [] does not match the expected format [[a-zA-Z_0-9]+]"
    assert error == {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}


def test_an_id_that_is_taken(world: World) -> None:
    world.secret()
    with pytest.raises(exceptions.Conflict) as caught:
        world.secret()
    assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/s] already exists.")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"replication": {}}, "exactly one of 'automatic' and 'userManaged'", id="no replication"),
        pytest.param({"replication": {"user_managed": {}}}, "one or more regions", id="no replicas"),
        pytest.param(
            {"replication": {"user_managed": {"replicas": [{"location": "mars"}]}}}, "one or more regions",
            id="unknown region",
        ),
        pytest.param(
            {"replication": {"user_managed": {"replicas": [{"location": "us-east1"}] * 2}}}, "each once",
            id="region given twice",
        ),
        pytest.param({"labels": {"Team": "x"}}, "invalid key [Team]", id="label key in upper case"),
        pytest.param({"labels": {"1x": "x"}}, "invalid key [1x]", id="label key with a leading digit"),
        pytest.param({"labels": {"a" * 64: "x"}}, "invalid key", id="label key too long"),
        pytest.param(
            {"labels": {"team": "Data"}}, "invalid value [Data] for the key [team]",
            id="label value in upper case",
        ),
        pytest.param({"labels": {f"k{n}": "x" for n in range(65)}}, "has 65 labels", id="too many labels"),
        pytest.param({"annotations": {"-a": "x"}}, "invalid key [-a]", id="annotation key with a leading dash"),
        pytest.param({"annotations": {"a": "x" * 16_384}}, "less than 16KiB", id="annotations too long"),
        pytest.param(
            {"version_aliases": {"prod": 1}}, "the alias [prod] names version [1], which does not exist",
            id="alias of a missing version",
        ),
        pytest.param({"ttl": timedelta(seconds=59)}, "at least 60 seconds", id="time to live too short"),
        pytest.param({"ttl": timedelta(days=101 * 365)}, "at most 100 years", id="time to live too long"),
        pytest.param({"expire_time": datetime(2020, 1, 1, tzinfo=UTC)}, "at least 60 seconds", id="expired already"),
    ],
)  # fmt: skip
def test_a_secret_that_is_refused(world: World, fields: Json, words: str) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        world.secret(**fields)
    assert words in caught.value.message
    assert list(world.client().list_secrets(parent=PROJECT)) == []


def test_all_that_is_wrong_with_labels_is_told_at_once(world: World) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        world.secret(labels={"A": "x", "b": "B"})
    assert "the invalid key [A]." in caught.value.message
    assert "the invalid value [B] for the key [b]." in caught.value.message


def test_expiry_is_one_of_two(world: World) -> None:
    body = AUTOMATIC | {"ttl": "100s", "expireTime": "2090-01-01T00:00:00Z"}
    error = raw(world, "POST", f"{PROJECT}/secrets?secretId=s", body)["error"]
    assert "oneof field 'expiration' is already set. Cannot set 'ttl'" in error["message"]


def test_a_time_that_is_none(world: World) -> None:
    body = AUTOMATIC | {"expireTime": "2090-13-01T00:00:00Z"}
    error = raw(world, "POST", f"{PROJECT}/secrets?secretId=s", body)["error"]
    assert (error["code"], error["message"]) == (400, "Invalid time: '2090-13-01T00:00:00Z'.")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"rotation": {"rotation_period": timedelta(days=1)}}, id="rotation"),
        pytest.param({"topics": [{"name": "projects/p/topics/t"}]}, id="topics"),
        pytest.param({"secret_type": "OTHER"}, id="type"),
        pytest.param({"version_destroy_ttl": timedelta(days=1)}, id="delayed destruction"),
        pytest.param(
            {"replication": {"automatic": {"customer_managed_encryption": {"kms_key_name": "k"}}}},
            id="KMS key",
        ),
    ],
)
def test_what_localcloud_does_not_do_is_refused(world: World, fields: Json) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="does not implement"):
        world.secret(**fields)


def test_a_secret_that_is_not_there(world: World) -> None:
    client = world.client()
    name = f"{PROJECT}/secrets/nothing"
    calls: tuple[Callable[[], object], ...] = (
        lambda: client.get_secret(name=name),
        lambda: client.delete_secret(name=name),
        lambda: client.list_secret_versions(parent=name),
        lambda: client.add_secret_version(parent=name, payload={"data": b"x"}),
        lambda: client.update_secret(secret={"name": name}, update_mask={"paths": ["labels"]}),
        lambda: client.get_iam_policy(request={"resource": name}),
        lambda: client.set_iam_policy(request={"resource": name, "policy": {}}),
    )
    for call in calls:
        with pytest.raises(exceptions.NotFound) as caught:
            call()
        assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/nothing] not found.")


def test_another_project_is_denied_also_to_the_owner(world: World) -> None:
    with pytest.raises(exceptions.Forbidden) as caught:
        world.client().get_secret(name="projects/other/secrets/s")
    words = "Permission 'secretmanager.secrets.get' denied for resource 'projects/other/secrets/s' (or it may not exist)."
    assert caught.value.message.endswith(words)


def test_secrets_are_listed_in_pages_newest_first(world: World) -> None:
    for number in range(5):
        world.secret(f"s{number}")
    pages = list(world.client().list_secrets(request={"parent": PROJECT, "page_size": 2}).pages)
    listed = [[secret.name.rpartition("/")[2] for secret in page.secrets] for page in pages]
    assert listed == [["s4", "s3"], ["s2", "s1"], ["s0"]]
    assert [page.total_size for page in pages] == [5, 5, 5]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("name:alpha", ["alpha"], id="name"),
        pytest.param("name:ALPH", ["alpha"], id="name in upper case"),
        pytest.param("name:alpha OR name:beta", ["beta", "alpha"], id="or"),
        pytest.param('name:"a" AND labels.env=prod', ["beta"], id="and"),
        pytest.param("labels.env=test OR labels.env=prod AND name:beta", ["beta"], id="or before and"),
        pytest.param("labels.env:*", ["beta", "alpha"], id="any value of a label"),
        pytest.param("labels.env!=prod", ["gamma", "alpha"], id="not a label"),
        pytest.param("name:a name:b", ["beta"], id="two terms"),
        pytest.param("create_time>2100-01-01T00:00:00Z", [], id="created after"),
        pytest.param("create_time<=2100-01-01T00:00:00Z", ["gamma", "beta", "alpha"], id="created until"),
        pytest.param("expire_time>2000-01-01T00:00:00Z", ["gamma"], id="expires after"),
        pytest.param(f"name={NUMBERED}/secrets/beta", ["beta"], id="name equal"),
    ],
)
def test_secrets_are_filtered(world: World, text: str, found: list[str]) -> None:
    world.secret("alpha", labels={"env": "test"})
    world.secret("beta", labels={"env": "prod"})
    world.secret("gamma", ttl=timedelta(days=1))
    (page,) = world.client().list_secrets(request={"parent": PROJECT, "filter": text}).pages
    assert [secret.name.rpartition("/")[2] for secret in page.secrets] == found
    assert page.total_size == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filter=bogus%3Dx", 400),
        ("filter=name%3Ex", 400),
        ("filter=name%3Ax%22y", 400),
        ("filter=create_time%3Csoon", 400),
        ("filter=labels%3Dx", 400),
        ("filter=NOT+name%3Ax", 501),
        ("filter=word", 501),
        ("pageToken=nonsense", 400),
        ("pageSize=-1", 400),
    ],
)
def test_a_list_call_that_is_refused(world: World, query: str, status: int) -> None:
    world.secret()
    assert raw(world, "GET", f"{PROJECT}/secrets?{query}")["error"]["code"] == status


def test_an_update_changes_what_its_mask_names_and_the_etag(world: World) -> None:
    made = world.secret(labels={"a": "1"}, annotations={"keep": "me"})
    changed = world.client().update_secret(
        secret={"name": made.name, "labels": {"b": "2"}, "annotations": {"not": "named"}},
        update_mask={"paths": ["labels"]},
    )
    assert (dict(changed.labels), dict(changed.annotations)) == ({"b": "2"}, {"keep": "me"})
    assert changed.etag != made.etag
    assert world.client().get_secret(name=made.name) == changed


def test_a_secret_that_was_read_can_be_changed_and_sent_back(world: World) -> None:
    read = world.client().get_secret(name=world.secret(labels={"a": "1"}).name)
    read.labels["b"] = "2"
    read.create_time = {"seconds": 1}
    changed = world.client().update_secret(secret=read, update_mask={"paths": ["labels"]})
    assert dict(changed.labels) == {"a": "1", "b": "2"}
    assert changed.create_time.timestamp() > 1


def test_aliases_are_set_and_removed(world: World) -> None:
    made = world.secret()
    world.version()
    change = {"name": made.name, "version_aliases": {"prod": 1}}
    mask = {"paths": ["version_aliases"]}
    assert dict(world.client().update_secret(secret=change, update_mask=mask).version_aliases) == {"prod": 1}
    assert not world.client().update_secret(secret={"name": made.name}, update_mask=mask).version_aliases


@pytest.mark.parametrize(
    "alias",
    ["latest", "NEW", "1st", "a" * 64, "a.b"],
    ids=["latest", "upper case", "leading digit", "too long", "dot"],
)
def test_an_alias_that_is_refused(world: World, alias: str) -> None:
    made = world.secret()
    world.version()
    with pytest.raises(exceptions.BadRequest, match="invalid alias"):
        world.client().update_secret(
            secret={"name": made.name, "version_aliases": {alias: 1}},
            update_mask={"paths": ["version_aliases"]},
        )


def test_a_secret_with_more_than_50_aliases_is_refused(world: World) -> None:
    made = world.secret()
    world.version()
    with pytest.raises(exceptions.BadRequest, match="51 aliases"):
        world.client().update_secret(
            secret={"name": made.name, "version_aliases": {f"a{n}": 1 for n in range(51)}},
            update_mask={"paths": ["version_aliases"]},
        )


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        pytest.param([], "is required", id="no mask"),
        pytest.param(["replication"], "cannot be updated: replication", id="immutable field"),
        pytest.param(["name", "labels"], "cannot be updated: name", id="immutable field among others"),
        pytest.param(["*"], r"cannot be updated: \*", id="star"),
    ],
)
def test_an_update_that_is_refused(world: World, paths: list[str], words: str) -> None:
    made = world.secret()
    with pytest.raises(exceptions.BadRequest, match=words):
        world.client().update_secret(secret={"name": made.name}, update_mask={"paths": paths})


def test_rotation_cannot_be_updated_here(world: World) -> None:
    made = world.secret()
    with pytest.raises(exceptions.MethodNotImplemented, match="'rotation'"):
        world.client().update_secret(secret={"name": made.name}, update_mask={"paths": ["rotation"]})


def test_an_old_etag_changes_nothing(world: World) -> None:
    made = world.secret()
    mask = {"paths": ["labels"]}
    world.client().update_secret(secret={"name": made.name, "etag": made.etag}, update_mask=mask)
    error = raw(world, "PATCH", f"{PROJECT}/secrets/s?updateMask=labels", {"etag": made.etag})["error"]
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    assert "errors" not in error
    with pytest.raises(exceptions.BadRequest):
        world.client().delete_secret(request={"name": made.name, "etag": made.etag})
    current = world.client().get_secret(name=made.name)
    world.client().delete_secret(request={"name": made.name, "etag": current.etag})


def test_a_deleted_secret_is_gone_and_its_id_free(world: World) -> None:
    world.secret()
    world.version(b"old")
    world.grant("roles/secretmanager.secretAccessor", "allAuthenticatedUsers")
    world.client().delete_secret(name=f"{PROJECT}/secrets/s")
    assert list(world.client().list_secrets(parent=PROJECT)) == []
    world.secret()
    assert list(world.client().list_secret_versions(parent=f"{PROJECT}/secrets/s")) == []
    world.version(b"new")
    with pytest.raises(exceptions.Forbidden):
        world.client("vm").access_secret_version(name=f"{PROJECT}/secrets/s/versions/1")


def test_a_secret_expires(world: World) -> None:
    made = world.secret(ttl=timedelta(seconds=100))
    world.version(b"short-lived")
    assert abs(made.expire_time.timestamp() - made.create_time.timestamp() - 100) < 0.01
    world.clock.advance(99)
    world.client().get_secret(name=made.name)
    world.clock.advance(2)
    with pytest.raises(exceptions.NotFound):
        world.client().get_secret(name=made.name)
    assert not any(b"secret" in file.read_bytes() for file in world.state.rglob("*") if file.is_file())


def test_an_expiry_is_moved_and_removed(world: World) -> None:
    made = world.secret(ttl=timedelta(seconds=100))
    later = world.client().update_secret(
        secret={"name": made.name, "ttl": timedelta(seconds=1000)}, update_mask={"paths": ["ttl"]}
    )
    assert later.expire_time.timestamp() - made.expire_time.timestamp() > 890
    never = world.client().update_secret(
        secret={"name": made.name}, update_mask={"paths": ["ttl", "expire_time"]}
    )
    assert never.expire_time is None
    world.clock.advance(10_000)
    world.client().get_secret(name=made.name)


def test_regional_secrets_are_not_covered(world: World) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=r"projects\.locations\.secrets\.get"):
        world.client().get_secret(name=f"{PROJECT}/locations/us-central1/secrets/s")
    for path in (f"{PROJECT}/secrets/s:rotateSecret", f"{PROJECT}/locations/us-east1/secrets?secretId=s"):
        assert raw(world, "POST", path, {})["error"]["code"] == 501


def test_a_secret_is_listed_in_the_inventory(world: World) -> None:
    world.secret()
    world.version()
    world.version()
    world.client().disable_secret_version(name=f"{PROJECT}/secrets/s/versions/1")
    states = [{"version": "1", "state": "DISABLED"}, {"version": "2", "state": "ENABLED"}]
    assert world.service.inventory() == {"secrets": [{"name": "s", "versions": states}]}
