"""Versions by Google's own client: add, read, list, switch off and on, destroy; aliases, checksums, limits."""

from __future__ import annotations

import threading
from typing import Any

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud.secretmanager_v1 import SecretVersion

from tests.localcloud.secretmanager.conftest import NUMBERED, PROJECT, World

State = SecretVersion.State
SECRET = f"{PROJECT}/secrets/s"


@pytest.fixture
def secret(world: World) -> Any:
    """Make one secret."""
    return world.secret()


def access(world: World, version: str) -> bytes:
    payload: bytes = world.client().access_secret_version(name=f"{SECRET}/versions/{version}").payload.data
    return payload


def refusal(call: Any) -> tuple[str, str]:
    """Return the words and the status name of a call that must be a 400."""
    with pytest.raises(exceptions.BadRequest) as caught:
        call()
    error = caught.value.response.json()["error"]
    assert set(error) == {"code", "message", "status"}
    return error["message"], error["status"]


@pytest.mark.usefixtures("secret")
def test_a_version_is_added_and_read(world: World) -> None:
    data = bytes(range(256))
    added = world.version(data)
    assert added.name == f"{NUMBERED}/secrets/s/versions/1"
    assert added.state == State.ENABLED
    assert not added.client_specified_payload_checksum
    assert abs(added.create_time.timestamp() - world.clock.now()) < 10
    assert world.client().get_secret_version(name=added.name) == added
    read = world.client().access_secret_version(name=added.name)
    assert (read.name, read.payload.data) == (added.name, data)
    assert read.payload.data_crc32c == google_crc32c.value(data)


@pytest.mark.usefixtures("secret")
def test_the_latest_is_the_last_one_added(world: World) -> None:
    for data in (b"one", b"two", b"three"):
        world.version(data)
    assert [access(world, version) for version in ("latest", "1", "2")] == [b"three", b"one", b"two"]
    read = world.client().access_secret_version(name=f"{SECRET}/versions/latest")
    assert read.name == f"{NUMBERED}/secrets/s/versions/3"
    assert world.client().get_secret_version(name=f"{SECRET}/versions/latest").name == read.name


def test_an_alias_is_read_like_its_version(world: World, secret: Any) -> None:
    world.version(b"one")
    world.version(b"two")
    world.client().update_secret(
        secret={"name": secret.name, "version_aliases": {"stable": 1}},
        update_mask={"paths": ["version_aliases"]},
    )
    assert access(world, "stable") == b"one"
    assert world.client().get_secret_version(name=f"{SECRET}/versions/stable").name.endswith("/versions/1")
    for version in ("stable", "latest"):
        call = {"name": f"{SECRET}/versions/{version}"}
        words, _ = refusal(lambda call=call: world.client().destroy_secret_version(request=call))
        assert words == f"Resource ID [{NUMBERED}/secrets/s/versions/{version}] is not in a valid format."
    assert access(world, "stable") == b"one"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        pytest.param("latest", f"Secret [{NUMBERED}/secrets/s] not found or has no versions.", id="latest"),
        pytest.param("1", f"Secret Version [{NUMBERED}/secrets/s/versions/1] not found.", id="number"),
        pytest.param("prod", f"Secret Version [{NUMBERED}/secrets/s/versions/prod] not found.", id="alias"),
    ],
)
@pytest.mark.usefixtures("secret")
def test_a_version_that_is_not_there(world: World, version: str, words: str) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        access(world, version)
    assert caught.value.message.endswith(words)


def test_a_version_of_a_secret_that_is_not_there(world: World) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        access(world, "1")
    assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/s] not found or has no versions.")


@pytest.mark.usefixtures("secret")
def test_a_version_is_switched_off_and_on(world: World) -> None:
    added = world.version(b"kept")
    off = world.client().disable_secret_version(name=added.name)
    assert off.state == State.DISABLED
    assert off.etag != added.etag
    words = f"Secret Version [{added.name}] is in DISABLED state."
    assert refusal(lambda: access(world, "1")) == (words, "FAILED_PRECONDITION")
    assert refusal(lambda: access(world, "latest")) == (words, "FAILED_PRECONDITION")
    assert world.client().enable_secret_version(name=added.name).state == State.ENABLED
    assert access(world, "1") == b"kept"


@pytest.mark.usefixtures("secret")
def test_switching_on_what_is_on_changes_the_etag_only(world: World) -> None:
    added = world.version()
    again = world.client().enable_secret_version(name=added.name)
    assert again.state == State.ENABLED
    assert again.etag != added.etag


@pytest.mark.usefixtures("secret")
def test_a_destroyed_version_is_destroyed_for_good(world: World) -> None:
    added = world.version(b"burnt-payload")
    world.clock.advance(60)
    gone = world.client().destroy_secret_version(name=added.name)
    assert gone.state == State.DESTROYED
    assert gone.destroy_time.timestamp() - gone.create_time.timestamp() >= 60
    words = f"Secret Version [{added.name}] is in DESTROYED state."
    for call in (
        lambda: access(world, "1"),
        lambda: world.client().enable_secret_version(name=added.name),
        lambda: world.client().disable_secret_version(name=added.name),
    ):
        assert refusal(call) == (words, "FAILED_PRECONDITION")
    again = refusal(lambda: world.client().destroy_secret_version(name=added.name))
    assert again == ("SecretVersion.state is already DESTROYED.", "FAILED_PRECONDITION")
    assert world.version(b"next").name.endswith("/versions/2")


@pytest.mark.parametrize("verb", ["enable", "disable", "destroy"])
def test_a_version_s_etag_guards_it(world: World, secret: Any, verb: str) -> None:
    added = world.version()
    current = world.client().enable_secret_version(request={"name": added.name, "etag": added.etag})
    method = getattr(world.client(), f"{verb}_secret_version")
    words, status = refusal(lambda: method(request={"name": added.name, "etag": added.etag}))
    assert status == "FAILED_PRECONDITION"
    assert added.name in words
    assert world.client().get_secret_version(name=added.name) == current
    assert world.client().get_secret(name=secret.name).etag == secret.etag
    method(request={"name": added.name, "etag": current.etag})


@pytest.mark.usefixtures("secret")
def test_a_checksum_is_checked_and_told(world: World) -> None:
    data = b"checked"
    payload = {"data": data, "data_crc32c": google_crc32c.value(data)}
    added = world.client().add_secret_version(parent=SECRET, payload=payload)
    assert added.client_specified_payload_checksum
    payload["data_crc32c"] = google_crc32c.value(b"other")
    words, status = refusal(lambda: world.client().add_secret_version(parent=SECRET, payload=payload))
    assert (status, "checksum" in words) == ("INVALID_ARGUMENT", True)
    assert len(list(world.client().list_secret_versions(parent=SECRET))) == 1


@pytest.mark.usefixtures("secret")
def test_a_payload_has_1_byte_to_64_kib(world: World) -> None:
    assert len(world.version(b"x" * 65_536).name) > 0
    assert "65537 bytes" in refusal(lambda: world.version(b"x" * 65_537))[0]
    assert refusal(lambda: world.version(b"")) == ("Secret Payload cannot be empty.", "INVALID_ARGUMENT")
    nothing = refusal(lambda: world.client().add_secret_version(request={"parent": SECRET}))
    assert nothing[0] == "Secret Payload cannot be empty."
    assert access(world, "latest") == b"x" * 65_536


@pytest.mark.usefixtures("secret")
def test_versions_are_listed_in_pages_newest_first(world: World) -> None:
    for _ in range(3):
        world.version()
    world.client().disable_secret_version(name=f"{SECRET}/versions/2")
    pages = list(world.client().list_secret_versions(request={"parent": SECRET, "page_size": 2}).pages)
    assert [[version.name[-1] for version in page.versions] for page in pages] == [["3", "2"], ["1"]]
    assert pages[0].total_size == 3
    enabled = {"parent": SECRET, "filter": "state:ENABLED"}
    assert [v.name[-1] for v in world.client().list_secret_versions(request=enabled)] == ["3", "1"]


@pytest.mark.usefixtures("secret")
def test_versions_added_at_once_all_get_a_number(world: World) -> None:
    def add(number: int) -> None:
        world.version(str(number).encode())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {access(world, str(n)) for n in range(1, 13)} == {str(n).encode() for n in range(12)}


@pytest.mark.usefixtures("secret")
def test_a_fault_is_met_like_anywhere(world: World) -> None:
    world.version()
    method = "secretmanager.projects.secrets.versions.access"
    world.faults.add({"method": method, "action": "error", "args": {"status": 429, "message": "slow"}})
    with pytest.raises(exceptions.TooManyRequests, match="slow"):
        access(world, "1")
    assert access(world, "1") == b"value"
    assert [fault["consumed"] for fault in world.faults.inventory()] == [1]
