"""Versions by Google's own client: add, read, list, disable, enable, destroy; checksums and limits."""

from __future__ import annotations

import threading
from typing import Any

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud.secretmanager_v1 import SecretVersion

from tests.localcloud.secretmanager.conftest import NUMBERED, PROJECT, CloudFixture

State = SecretVersion.State
SECRET = f"{PROJECT}/secrets/s"


@pytest.fixture
def secret(cloud_fixture: CloudFixture) -> Any:
    """Make one secret."""
    return cloud_fixture.secret()


def access(cloud_fixture: CloudFixture, version: str) -> bytes:
    payload: bytes = (
        cloud_fixture.client().access_secret_version(name=f"{SECRET}/versions/{version}").payload.data
    )
    return payload


def refusal(call: Any) -> tuple[str, str]:
    """Return the message and the status name of a call that must be a 400."""
    with pytest.raises(exceptions.BadRequest) as caught:
        call()
    error = caught.value.response.json()["error"]
    assert set(error) == {"code", "message", "status"}
    return error["message"], error["status"]


@pytest.mark.usefixtures("secret")
def test_a_version_is_added_and_read(cloud_fixture: CloudFixture) -> None:
    data = bytes(range(256))
    added = cloud_fixture.version(data)
    assert added.name == f"{NUMBERED}/secrets/s/versions/1"
    assert added.state == State.ENABLED
    assert not added.client_specified_payload_checksum
    assert abs(added.create_time.timestamp() - cloud_fixture.clock.now()) < 600
    assert cloud_fixture.client().get_secret_version(name=added.name) == added
    read = cloud_fixture.client().access_secret_version(name=added.name)
    assert (read.name, read.payload.data) == (added.name, data)
    assert read.payload.data_crc32c == google_crc32c.value(data)


@pytest.mark.usefixtures("secret")
def test_the_latest_is_the_last_one_added(cloud_fixture: CloudFixture) -> None:
    for data in (b"one", b"two", b"three"):
        cloud_fixture.version(data)
    assert [access(cloud_fixture, version) for version in ("latest", "1", "2")] == [b"three", b"one", b"two"]
    read = cloud_fixture.client().access_secret_version(name=f"{SECRET}/versions/latest")
    assert read.name == f"{NUMBERED}/secrets/s/versions/3"
    assert cloud_fixture.client().get_secret_version(name=f"{SECRET}/versions/latest").name == read.name


@pytest.mark.usefixtures("secret")
def test_only_a_number_names_a_version_to_change(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.version(b"kept")
    call = {"name": f"{SECRET}/versions/latest"}
    words, _ = refusal(lambda: cloud_fixture.client().destroy_secret_version(request=call))
    assert words == f"Resource ID [{NUMBERED}/secrets/s/versions/latest] is not in a valid format."
    assert access(cloud_fixture, "latest") == b"kept"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        pytest.param("latest", f"Secret [{NUMBERED}/secrets/s] not found or has no versions.", id="latest"),
        pytest.param("1", f"Secret Version [{NUMBERED}/secrets/s/versions/1] not found.", id="number"),
        pytest.param("prod", f"Secret Version [{NUMBERED}/secrets/s/versions/prod] not found.", id="alias"),
    ],
)
@pytest.mark.usefixtures("secret")
def test_a_version_that_is_not_there(cloud_fixture: CloudFixture, version: str, words: str) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        access(cloud_fixture, version)
    assert caught.value.message.endswith(words)


def test_a_version_of_a_secret_that_is_not_there(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        access(cloud_fixture, "1")
    assert caught.value.message.endswith(f"Secret [{NUMBERED}/secrets/s] not found or has no versions.")


@pytest.mark.usefixtures("secret")
def test_a_version_is_switched_off_and_on(cloud_fixture: CloudFixture) -> None:
    added = cloud_fixture.version(b"kept")
    off = cloud_fixture.client().disable_secret_version(name=added.name)
    assert off.state == State.DISABLED
    words = f"Secret Version [{added.name}] is in DISABLED state."
    assert refusal(lambda: access(cloud_fixture, "1")) == (words, "FAILED_PRECONDITION")
    assert refusal(lambda: access(cloud_fixture, "latest")) == (words, "FAILED_PRECONDITION")
    assert cloud_fixture.client().enable_secret_version(name=added.name).state == State.ENABLED
    assert access(cloud_fixture, "1") == b"kept"


@pytest.mark.usefixtures("secret")
def test_enabling_an_enabled_version_changes_nothing(cloud_fixture: CloudFixture) -> None:
    added = cloud_fixture.version()
    again = cloud_fixture.client().enable_secret_version(name=added.name)
    assert again == added


@pytest.mark.usefixtures("secret")
def test_a_destroyed_version_is_destroyed_for_good(cloud_fixture: CloudFixture) -> None:
    added = cloud_fixture.version(b"burnt-payload")
    cloud_fixture.clock.advance(60)
    gone = cloud_fixture.client().destroy_secret_version(name=added.name)
    assert gone.state == State.DESTROYED
    assert gone.destroy_time.timestamp() - gone.create_time.timestamp() >= 60
    words = f"Secret Version [{added.name}] is in DESTROYED state."
    for call in (
        lambda: access(cloud_fixture, "1"),
        lambda: cloud_fixture.client().enable_secret_version(name=added.name),
        lambda: cloud_fixture.client().disable_secret_version(name=added.name),
    ):
        assert refusal(call) == (words, "FAILED_PRECONDITION")
    again = refusal(lambda: cloud_fixture.client().destroy_secret_version(name=added.name))
    assert again == ("SecretVersion.state is already DESTROYED.", "FAILED_PRECONDITION")
    assert cloud_fixture.version(b"next").name.endswith("/versions/2")


@pytest.mark.usefixtures("secret")
def test_a_checksum_is_verified_and_returned(cloud_fixture: CloudFixture) -> None:
    data = b"checked"
    payload = {"data": data, "data_crc32c": google_crc32c.value(data)}
    added = cloud_fixture.client().add_secret_version(parent=SECRET, payload=payload)
    assert added.client_specified_payload_checksum
    payload["data_crc32c"] = google_crc32c.value(b"other")
    words, status = refusal(lambda: cloud_fixture.client().add_secret_version(parent=SECRET, payload=payload))
    assert (status, "checksum" in words) == ("INVALID_ARGUMENT", True)
    assert len(list(cloud_fixture.client().list_secret_versions(parent=SECRET))) == 1


@pytest.mark.usefixtures("secret")
def test_a_payload_has_1_byte_to_64_kib(cloud_fixture: CloudFixture) -> None:
    assert len(cloud_fixture.version(b"x" * 65_536).name) > 0
    assert "65537 bytes" in refusal(lambda: cloud_fixture.version(b"x" * 65_537))[0]
    assert refusal(lambda: cloud_fixture.version(b"")) == (
        "Secret Payload cannot be empty.",
        "INVALID_ARGUMENT",
    )
    nothing = refusal(lambda: cloud_fixture.client().add_secret_version(request={"parent": SECRET}))
    assert nothing[0] == "Secret Payload cannot be empty."
    assert access(cloud_fixture, "latest") == b"x" * 65_536


@pytest.mark.usefixtures("secret")
def test_versions_are_listed_in_pages_newest_first(cloud_fixture: CloudFixture) -> None:
    for _ in range(3):
        cloud_fixture.version()
    cloud_fixture.client().disable_secret_version(name=f"{SECRET}/versions/2")
    pages = list(
        cloud_fixture.client().list_secret_versions(request={"parent": SECRET, "page_size": 2}).pages
    )
    assert [[version.name[-1] for version in page.versions] for page in pages] == [["3", "2"], ["1"]]
    assert pages[0].total_size == 3


@pytest.mark.usefixtures("secret")
def test_versions_added_at_once_all_get_a_number(cloud_fixture: CloudFixture) -> None:
    def add(number: int) -> None:
        cloud_fixture.version(str(number).encode())

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {access(cloud_fixture, str(n)) for n in range(1, 13)} == {str(n).encode() for n in range(12)}


@pytest.mark.usefixtures("secret")
def test_a_fault_is_met_like_anywhere(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.version()
    method = "secretmanager.projects.secrets.versions.access"
    cloud_fixture.faults.add(
        {"method": method, "action": "error", "args": {"status": 429, "message": "slow"}}
    )
    with pytest.raises(exceptions.TooManyRequests, match="slow"):
        access(cloud_fixture, "1")
    assert access(cloud_fixture, "1") == b"value"
    assert [fault["consumed"] for fault in cloud_fixture.faults.inventory()] == [1]
