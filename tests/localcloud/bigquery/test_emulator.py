"""The emulator as a process: its start by the first call, its end, no network, and messages if it is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import urllib3

from localcloud.cloud import Cloud
from localcloud.engines.bigquery import emulator
from tests.localcloud.bigquery.conftest import PROJECT
from tests.owner import signed
from tests.patience import PATIENCE
from tests.polling import eventually

ALONE = ["unshare", "--map-root-user", "--net"]
ASK = """
import json, sys, urllib.request
from pathlib import Path
from localcloud.cloud import Cloud
with Cloud(Path(sys.argv[1])) as cloud:
    body = {"query": "SELECT COUNT(*) FROM `bigquery-public-data.san_francisco_bikeshare.bikeshare_trips`", "useLegacySql": False}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {cloud.iam.owner_token}"}
    address = cloud.url + "/bigquery/v2/projects/local-project/queries"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    print(json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))["rows"])
"""


def running(folder: Path) -> list[int]:
    """Processes that were started on a state directory."""
    told = (
        (process.info["pid"], process.info["cmdline"]) for process in psutil.process_iter(["pid", "cmdline"])
    )
    return [pid for pid, command in told if str(folder / "bigquery") in (command or [])]


def test_it_starts_when_it_is_asked_and_ends_with_localcloud(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Cloud(state) as cloud, urllib3.PoolManager(retries=False) as pool:
        assert running(state) == []
        assert not (state / "bigquery").exists()
        assert pool.request("GET", f"{cloud.url}{PROJECT}/datasets", headers=signed(cloud.iam)).status == 200
        assert running(state) != []
    assert running(state) == []


def test_one_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    with Cloud(tmp_path / "state") as cloud, urllib3.PoolManager(retries=False) as pool:

        def status() -> int:
            return pool.request("GET", f"{cloud.url}{PROJECT}/datasets", headers=signed(cloud.iam)).status

        assert status() == 200
        for pid in running(tmp_path / "state"):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: status() == 200)


@pytest.mark.needs("namespaces")
def test_it_starts_without_a_network(tmp_path: Path) -> None:
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", ASK, str(tmp_path)]
    done = subprocess.run([*ALONE, *inside], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.stdout == "[{'f': [{'v': '50000'}]}]\n", done.stderr


def test_missing_parts_of_the_emulator_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "ENVIRONMENT", tmp_path / "nothing")
    with Cloud(tmp_path / "state") as cloud, urllib3.PoolManager(retries=False) as pool:
        answer = pool.request("GET", f"{cloud.url}{PROJECT}/datasets", headers=signed(cloud.iam))
    assert answer.status == 501
    assert "run `make venv`" in answer.json()["error"]["message"]


def test_one_that_does_not_start_is_a_503_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "broken" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho no such thing >&2; exit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(emulator, "ENVIRONMENT", tmp_path / "broken")
    with Cloud(tmp_path / "state") as cloud, urllib3.PoolManager(retries=False) as pool:
        answer = pool.request("GET", f"{cloud.url}{PROJECT}/datasets", headers=signed(cloud.iam))
    log = tmp_path / "state" / "bigquery" / "emulator.log"
    assert answer.status == 503
    assert str(log) in answer.json()["error"]["message"]
    assert log.read_text() == "no such thing\n"
