"""What is on disk: secrets over a restart, for their owner's eyes only, and payloads in no other place."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1

from localcloud.cloud import Cloud
from localcloud.iam import email
from localcloud.secretmanager.model import Version
from tests.localcloud.secretmanager.conftest import AUTOMATIC, PROJECT, World

SECRET = f"{PROJECT}/secrets/s"
CANARY = "canary-7f3a9c51d2"


def test_everything_survives_a_restart(start: Callable[[], World]) -> None:
    world = start()
    world.secret(labels={"a": "b"}, annotations={"c": "d"}, ttl=timedelta(days=1))
    for data in (b"one", b"\x00\xff", b"three"):
        world.version(data)
    world.client().disable_secret_version(name=f"{SECRET}/versions/1")
    world.client().destroy_secret_version(name=f"{SECRET}/versions/3")
    world.client().update_secret(
        secret={"name": SECRET, "version_aliases": {"stable": 2}}, update_mask={"paths": ["version_aliases"]}
    )
    world.grant("roles/secretmanager.secretAccessor", f"serviceAccount:{email('vm')}")
    secret = world.client().get_secret(name=SECRET)
    versions = list(world.client().list_secret_versions(parent=SECRET))

    world = start()
    assert world.client().get_secret(name=SECRET) == secret
    assert list(world.client().list_secret_versions(parent=SECRET)) == versions
    read = world.client("vm").access_secret_version(name=f"{SECRET}/versions/stable")
    assert read.payload.data == b"\x00\xff"
    assert world.version(b"four").name.endswith("/versions/4")
    with pytest.raises(exceptions.Forbidden):
        world.client("builder").access_secret_version(name=f"{SECRET}/versions/2")
    world.clock.advance(86_400)
    assert world.service.inventory() == {"secrets": []}
    assert start().service.inventory() == {"secrets": []}


def test_a_deleted_secret_stays_deleted(start: Callable[[], World]) -> None:
    world = start()
    world.secret()
    world.client().delete_secret(name=SECRET)
    assert start().service.inventory() == {"secrets": []}


def test_files_are_for_their_owner_only(world: World) -> None:
    world.secret()
    world.version()
    world.version()
    folder = world.state / "secretmanager"
    found = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert found == {"s": 0o700, "s/secret.json": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_crash_between_two_writes_does_no_harm(start: Callable[[], World]) -> None:
    world = start()
    world.secret()
    world.version(b"kept")
    folder = world.state / "secretmanager"
    (folder / "s" / "secret.new").write_bytes(b"{half")
    (folder / "t").mkdir()
    world = start()
    assert world.service.inventory()["secrets"][0]["name"] == "s"
    world.version(b"next")
    world.secret("t")
    assert sorted(path.name for path in (folder / "s").iterdir()) == ["secret.json"]


def test_a_destroyed_payload_is_off_the_disk(world: World) -> None:
    world.secret()
    world.version(CANARY.encode())
    assert written_with_canary(world.state) == ["secretmanager/s/secret.json"]
    world.client().destroy_secret_version(name=f"{SECRET}/versions/1")
    assert written_with_canary(world.state) == []


def test_a_value_in_memory_does_not_print_its_payload() -> None:
    version = Version(1, "ENABLED", 0.0, "", CANARY.encode())
    assert CANARY not in repr(version)


def written_with_canary(folder: Path) -> list[str]:
    """Return the files that hold the canary, plain or in base64."""
    forms = [CANARY.encode(), *(base64.b64encode(b"x" * n + CANARY.encode())[4:-4] for n in range(3))]
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and any(form in file.read_bytes() for form in forms)
    )


def answer(url: str, body: Any) -> str:
    """Post a body that must be refused, and return what is answered."""
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
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
            credentials=AnonymousCredentials(),
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
            answer(cloud.url + add, {"payload": {"data": secret}}),
            answer(cloud.url + add, {"payload": {"data": CANARY + "!"}}),
            answer(cloud.url + add, {"payload": {"data": [CANARY]}}),
            answer(cloud.url + add, {"payload": CANARY}),
            answer(cloud.url + add, {"payload": {"data": secret, "dataCrc32c": "1"}}),
            answer(cloud.url + add, {"payload": {"data": secret, "bogus": True}}),
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
    assert written_with_canary(state) == ["secretmanager/s/secret.json"]
