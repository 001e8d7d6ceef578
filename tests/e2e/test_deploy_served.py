"""What is deployed on a cloud that runs beside its users, as `python -m localcloud serve` does: for strangers, and after its death."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.scheduler_v1 import CloudSchedulerClient

from localcloud.iam import PROJECT
from tests.e2e.deploying import MADE, NAME, OPTIONS, PREFIX, Proven
from tests.e2e.world import BUCKET, ROOT, VM_ACCOUNT, Repo, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def served(state: Path) -> Iterator[tuple[dict[str, str], subprocess.Popen[bytes]]]:
    """A cloud as a process of its own: the variables that it prints, as a shell would read them, and the process."""
    exports = state.with_suffix(".env")
    command = [sys.executable, "-m", "localcloud", "serve", "--state", str(state)]
    with exports.open("wb") as written, subprocess.Popen(command, cwd=ROOT, stdout=written) as process:
        try:
            lines = until(lambda: exports.read_text().splitlines(), "the variables")
            pairs = [shlex.split(line)[1].partition("=") for line in lines]
            yield {name: value for name, _, value in pairs}, process
        finally:
            process.terminate()


def test_a_stranger_finds_a_schedule_that_runs_with_the_dates_that_were_promised(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "bike-share", tmp_path / "repo")
    repo = Repo(tmp_path / "repo")
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.write({})
    with served(tmp_path / "cloud") as (variables, _):
        submit = [sys.executable, "-m", "localcloud", "submit", "--commit", "--branch", "main"]
        build = subprocess.run(
            [*submit, "--region", "us-central1", "."],
            cwd=repo.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert build.returncode == 0, build.stdout + build.stderr
        script = shutil.copy(Path(__file__).with_name("stranger.py"), tmp_path)
        before = datetime.now(UTC).date()
        stranger = subprocess.run(
            [sys.executable, script, PROJECT, "local-project-notebooks", "bike-share"],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert stranger.returncode == 0, stranger.stderr
    told = json.loads(stranger.stdout)
    assert told["jobs"] == [f"projects/{PROJECT}/locations/us-central1/jobs/bike-share"]
    assert told["scheduled"] in [version(before), version(datetime.now(UTC).date())]
    assert told["both"] == told["scheduled"] | version(date(2018, 4, 1))


def version(today: date) -> dict[str, Any]:
    """The executed notebook of a day, and its parameters, as examples/bike-share/notebooks.yaml promises."""
    parameters = {"start_date": str(today - timedelta(days=30)), "end_date": str(today)}
    return {f"bike-share/versions/{today}/demo/demo.ipynb": parameters}


def test_what_is_live_goes_on_after_the_cloud_was_killed(proven: Proven, tmp_path: Path) -> None:
    folder = tmp_path / "proven"
    shutil.copytree(proven.folder, folder, symlinks=True)
    with served(folder / "cloud") as (variables, process):
        deployed = subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py"), "deploy"],
            cwd=folder / "repo",
            env={
                **variables,
                **OPTIONS,
                "NB_GCS_LOCATION": f"gs://{BUCKET}/{PREFIX}",
                "NB_VM_SERVICE_ACCOUNT": VM_ACCOUNT,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    with served(folder / "cloud") as (again, _):
        assert again["LOCALCLOUD_URL"] == variables["LOCALCLOUD_URL"]
        before = inventory(again)
        assert {kind: [one["name"] for one in before[kind]] for kind in MADE} == MADE
        jobs = CloudSchedulerClient(
            credentials=AnonymousCredentials(),
            transport="rest",
            client_options={"api_endpoint": again["LOCALCLOUD_URL"]},
        )
        jobs.run_job(name=f"projects/{PROJECT}/locations/us-central1/jobs/{NAME}")
        (build,) = until(lambda: ended(again), "the scheduled build's end", 90)
        assert build["status"] == "SUCCESS"
        assert inventory(again)["internal_errors"] == []
    (result,) = (folder / "cloud" / "storage" / BUCKET / PREFIX / "versions").glob("*/demo/result.json")
    assert json.loads(result.read_text())["verdict"] == "green"


def inventory(variables: dict[str, str]) -> dict[str, Any]:
    url = f"{variables['LOCALCLOUD_URL']}/_localcloud/inventory"
    return dict(requests.get(url, timeout=10).json())


def ended(variables: dict[str, str]) -> list[dict[str, Any]]:
    """The scheduled builds that have ended."""
    tag = f"nb-live-{NAME}"
    builds = inventory(variables)["builds"]
    return [build for build in builds if tag in build.get("tags", ()) and "finishTime" in build]
