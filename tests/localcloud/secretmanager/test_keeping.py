"""The kept state: secrets over a restart, readable for their owner only, and payloads in no other place."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import secretmanager_v1
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import email
from localcloud.services.secretmanager.state import Version
from tests.localcloud.secretmanager.conftest import AUTOMATIC, PROJECT, CloudFixture
from tests.owner import signed

SECRET = f"{PROJECT}/secrets/s"
CANARY = "canary-7f3a9c51d2"


def test_everything_survives_a_restart(start: Callable[[], CloudFixture]) -> None:
    cloud_fixture = start()
    cloud_fixture.secret()
    for data in (b"one", b"\x00\xff", b"three"):
        cloud_fixture.version(data)
    cloud_fixture.client().disable_secret_version(name=f"{SECRET}/versions/1")
    cloud_fixture.client().destroy_secret_version(name=f"{SECRET}/versions/3")
    cloud_fixture.grant("roles/secretmanager.secretAccessor", f"serviceAccount:{email('notebook-vm')}")
    secret = cloud_fixture.client().get_secret(name=SECRET)
    versions = list(cloud_fixture.client().list_secret_versions(parent=SECRET))

    cloud_fixture = start()
    assert cloud_fixture.client().get_secret(name=SECRET) == secret
    assert list(cloud_fixture.client().list_secret_versions(parent=SECRET)) == versions
    read = cloud_fixture.client("notebook-vm").access_secret_version(name=f"{SECRET}/versions/2")
    assert read.payload.data == b"\x00\xff"
    assert cloud_fixture.version(b"four").name.endswith("/versions/4")
    with pytest.raises(exceptions.Forbidden):
        cloud_fixture.client("notebook-builder").access_secret_version(name=f"{SECRET}/versions/2")


def test_a_deleted_secret_stays_deleted(start: Callable[[], CloudFixture]) -> None:
    cloud_fixture = start()
    cloud_fixture.secret()
    cloud_fixture.client().delete_secret(name=SECRET)
    assert start().service.inventory() == {"secrets": []}


def test_files_are_for_their_owner_only(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    cloud_fixture.version()
    cloud_fixture.grant("roles/secretmanager.secretAccessor", "allUsers")
    folder = cloud_fixture.state / "secretmanager"
    found = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert found == {"secrets.json": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (cloud_fixture.state / "iam" / "policies.json").stat().st_mode & 0o777 == 0o600


def test_a_crash_between_two_writes_does_no_harm(start: Callable[[], CloudFixture]) -> None:
    cloud_fixture = start()
    cloud_fixture.secret()
    cloud_fixture.version(b"kept")
    folder = cloud_fixture.state / "secretmanager"
    (folder / "secrets.new").write_bytes(b"{half")
    cloud_fixture = start()
    assert cloud_fixture.service.inventory()["secrets"][0]["name"] == "s"
    cloud_fixture.version(b"next")
    assert sorted(path.name for path in folder.iterdir()) == ["secrets.json"]


def test_a_destroyed_payload_is_off_the_disk(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    cloud_fixture.version(CANARY.encode())
    assert written_with_canary(cloud_fixture.state) == ["secretmanager/secrets.json"]
    cloud_fixture.client().destroy_secret_version(name=f"{SECRET}/versions/1")
    assert written_with_canary(cloud_fixture.state) == []


def test_a_value_in_memory_does_not_print_its_payload() -> None:
    version = Version(1, "ENABLED", 0.0, CANARY.encode())
    assert CANARY not in repr(version)


def written_with_canary(folder: Path) -> list[str]:
    """Return the files with the canary in them, plain or in base64."""
    forms = [CANARY.encode(), *(base64.b64encode(b"x" * n + CANARY.encode())[4:-4] for n in range(3))]
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and any(form in file.read_bytes() for form in forms)
    )


def answer(cloud: Cloud, path: str, body: Any) -> str:
    """Post a body that must be refused, and return the answer."""
    request = urllib.request.Request(
        cloud.url + path, json.dumps(body).encode(), signed(cloud.iam), method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as error:
        return error.read().decode()


def test_a_payload_is_nowhere_but_in_its_own_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    add = f"/v1/{SECRET}:addVersion"
    secret = base64.b64encode(CANARY.encode()).decode()
    with Cloud(state) as cloud:
        client: Any = secretmanager_v1.SecretManagerServiceClient(
            credentials=Credentials(token=cloud.iam.owner_token),
            transport="rest",
            client_options={"api_endpoint": cloud.url},
        )
        client.create_secret(parent=PROJECT, secret_id="s", secret=AUTOMATIC)
        client.add_secret_version(parent=SECRET, payload={"data": CANARY.encode()})
        assert client.access_secret_version(name=f"{SECRET}/versions/1").payload.data == CANARY.encode()
        cloud.faults.add(
            {
                "method": "secretmanager.projects.secrets.addVersion",
                "action": "error_after",
                "args": {"status": 503},
            }
        )
        told = [
            answer(cloud, add, {"payload": {"data": secret}}),
            answer(cloud, add, {"payload": {"data": CANARY + "!"}}),
            answer(cloud, add, {"payload": {"data": [CANARY]}}),
            answer(cloud, add, {"payload": CANARY}),
            answer(cloud, add, {"payload": {"data": secret, "dataCrc32c": "1"}}),
            answer(cloud, add, {"payload": {"data": secret, "bogus": True}}),
        ]
        client.disable_secret_version(name=f"{SECRET}/versions/1")
        with pytest.raises(exceptions.BadRequest) as caught:
            client.access_secret_version(name=f"{SECRET}/versions/1")
        told.append(str(caught.value))
        inventory = cloud.inventory()
    assert inventory["faults"][0]["consumed"] == 1
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
    printed = capfd.readouterr()
    for text in (*told, json.dumps(inventory), printed.out, printed.err):
        assert CANARY not in text
        assert secret not in text
    assert written_with_canary(state) == ["secretmanager/secrets.json"]
