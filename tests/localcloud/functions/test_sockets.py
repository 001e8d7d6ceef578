"""No socket of a cloud in use gives anything to web pages, to calls without a token, or to other users."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from localcloud.engines.reaper import descendants
from tests.localcloud.compute.conftest import VM_ACCOUNT, ZONE, vm_body
from tests.localcloud.functions.conftest import CloudFixture, Start
from tests.owner import signed
from tests.patience import PATIENCE

_LISTENS = "0A"
_NOBODY = 65534
# Prints, as JSON, what each request gets: its status, or the error of a connection that ends.
_ASK = """
import json, sys, http.client
answers = []
for address, method, path, headers in json.load(sys.stdin):
    connection = http.client.HTTPConnection(address, timeout=600)
    try:
        connection.request(method, path, headers=headers)
        answers.append(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""
_CONTROL = "/_localcloud/inventory"
_PATHS = (
    "/",
    "/storage/v1/b?project=local-project",
    "/bigquery/v2/projects/local-project/datasets",
    f"/compute/v1/projects/local-project/zones/{ZONE}/instances",
    _CONTROL,
    "/_run/us-central1/nightly/",
    "/computeMetadata/v1/instance/service-accounts/default/token",
    "/computeMetadata/v1/?recursive=true",
    "/localcloud/analysis",
)
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture
def others() -> set[str]:
    """The addresses at which the clouds of other tests listen: this process may share one with them."""
    return _listening()


@pytest.fixture
def used(others: set[str], start: Start) -> CloudFixture:
    """A cloud that has served a function's event, a query, and a VM that runs."""
    cloud_fixture = start()
    cloud_fixture.topic()
    cloud_fixture.create()
    cloud_fixture.bind()
    cloud_fixture.publish(b"{}")
    cloud_fixture.await_events(1)
    script = {"items": [{"key": "startup-script", "value": "#!/bin/sh\nsleep 600\n"}]}
    zone = f"/compute/v1/projects/local-project/zones/{ZONE}/instances"
    asked = {"query": "SELECT 1", "useLegacySql": False}
    for path, body in (
        (zone, vm_body(metadata=script, serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}])),
        ("/bigquery/v2/projects/local-project/queries", asked),
    ):
        # BigQuery's first query starts it, which can take longer than other calls.
        url, headers = f"{cloud_fixture.cloud.url}{path}", signed(cloud_fixture.cloud.iam)
        answer = requests.post(url, json=body, headers=headers, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
    return cloud_fixture


def _listening() -> set[str]:
    """Return the TCP addresses at which this process and its descendants listen."""
    inodes = set(map(str, _inodes(os.getpid())))
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENS and columns[9] in inodes:
                host, _, port = columns[1].rpartition(":")
                assert table == "/proc/net/tcp", "a socket for IPv6"
                found.add(f"{socket.inet_ntoa(int(host, 16).to_bytes(4, 'little'))}:{int(port, 16)}")
    return found


def _inodes(owner: int) -> Iterator[int]:
    for pid in (owner, *descendants(owner)):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = descriptor.readlink().name if descriptor.is_symlink() else ""
            if target.startswith("socket:["):
                yield int(target[8:-1])


# The interpreter may be in a folder of this user, so the process becomes the other one only then.
_BECOME = f"import os; os.setgroups([]); os.setgid({_NOBODY}); os.setuid({_NOBODY})\n"


def _python(code: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd="/",
    )


def _asked(cases: list[tuple[str, str, str, dict[str, str]]], before: str = "") -> list[int | str]:
    ran = _python(f"import encodings.idna, http.client, json\n{before}{_ASK}", json.dumps(cases))
    assert ran.returncode == 0, ran.stderr
    answers: list[int | str] = json.loads(ran.stdout)
    return answers


def test_no_socket_gives_anything_to_web_pages_strangers_or_other_users(others: set[str], used: CloudFixture) -> None:  # fmt: skip
    cloud = used.cloud
    sockets = _listening() - others
    apis = {address.removeprefix("http://") for address in (cloud.url, *map(str, cloud._addresses.values()))}
    assert apis <= sockets
    # The rest are metadata servers: one of the VM, one of the function's account, one of the default account.
    metadata = sockets - apis
    assert len(metadata) == 3
    assert {address.partition(":")[0] for address in sockets} == {"127.0.0.1"}
    given = [(a, "GET", path, _FLAVOR) for a in sorted(metadata) for path in _PATHS if path.endswith("token")]
    assert _asked(given) == [200] * 3  # what the cases below are refused

    cases = {
        # The control routes and the metadata servers need no token: they answer every program of this user.
        "without a token": [(a, "GET", path, _FLAVOR) for a in sorted(apis) for path in _PATHS if path != _CONTROL],
        "unknown token": [(a, "GET", path, {"Authorization": "Bearer x"}) for a in sorted(apis) for path in _PATHS if path != _CONTROL],
        "foreign host": [(a, m, path, {**_FLAVOR, "Host": "evil.example"}) for a in sorted(sockets) for path in _PATHS for m in ("GET", "POST")],
        "host of another port": [(a, "GET", path, {**_FLAVOR, "Host": "127.0.0.1:80"}) for a in sorted(sockets) for path in _PATHS],
        "web page": [(a, m, path, {**_FLAVOR, "Origin": "http://evil.example"}) for a in sorted(sockets) for path in _PATHS for m in ("GET", "POST", "OPTIONS")],
        "web page without an address": [(a, "POST", path, {**_FLAVOR, "Origin": "null"}) for a in sorted(sockets) for path in _PATHS],
    }  # fmt: skip
    for name, asked in cases.items():
        given_away = [(case, answer) for case, answer in zip(asked, _asked(asked), strict=True) if isinstance(answer, int) and answer < 400]  # fmt: skip
        assert given_away == [], name


@pytest.mark.needs("root")
def test_another_user_of_the_machine_gets_nothing(used: CloudFixture) -> None:
    asked = [(address, "GET", path, _FLAVOR) for address in sorted(_listening()) for path in _PATHS]
    answers = _asked(asked, _BECOME)
    assert [
        case for case, answer in zip(asked, answers, strict=True) if isinstance(answer, int) and answer < 400
    ] == []
    # Helper processes listen on Unix sockets, which other users cannot reach.
    helpers = [path for path in used.cloud.state.rglob("http*") if path.is_socket()]
    assert len(helpers) == 2
    assert [path for path in helpers if path.parent.stat().st_mode & 0o077] == []
