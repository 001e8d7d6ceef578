"""The example on a cloud that runs beside its users, as `python -m localcloud serve` does.

Tested, deployed, and run by a stranger. Its notebook asks BigQuery, on a VM. The cloud is killed and started again
before the stranger comes.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.core.iam import PROJECT
from tests.e2e.builder_process import ROOT, Repo, until
from tests.patience import PATIENCE

pytestmark = pytest.mark.timeout(6 * PATIENCE)

NAME = "bike-share"  # the example's folder, its function and what goes with that
PREFIX = "notebooks"  # its place in the bucket
BUCKET = "local-project-notebooks"
MADE = {"functions": [NAME], "scheduler.jobs": [NAME], "pubsub.topics": [NAME]}
CHARTS = ("stations", "map", "week", "day")


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


@dataclass
class Example:
    """examples/bike-share as a user's repo, and the cloud's folder."""

    repo: Repo
    state: Path

    def submit(self, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run its build, as a push to `main` would."""
        submit = [sys.executable, "-m", "localcloud", "submit", "--commit", "--branch", "main"]
        return subprocess.run(
            [*submit, "--region", "us-central1", "."],
            cwd=self.repo.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    @property
    def location(self) -> Path:
        return self.state / "storage" / BUCKET / PREFIX

    def live(self) -> bytes:
        return (self.location / "live" / NAME / "live.json").read_bytes()


@pytest.fixture
def example(tmp_path: Path) -> Example:
    shutil.copytree(
        ROOT / "examples" / NAME, tmp_path / "repo", ignore=shutil.ignore_patterns("outputs", "__*")
    )
    repo = Repo(tmp_path / "repo")
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.write({})
    return Example(repo, tmp_path / "cloud")


@pytest.mark.exhaustive
def test_the_example_is_green_goes_live_and_runs_for_a_stranger_after_the_cloud_was_killed(
    example: Example, tmp_path: Path
) -> None:
    with served(example.state) as (variables, process):
        build = example.submit(variables)
        assert build.returncode == 0, build.stdout + build.stderr
        assert_charts_and_numbers(example)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
    with served(example.state) as (again, _):
        assert again["LOCALCLOUD_URL"] == variables["LOCALCLOUD_URL"]
        before = inventory(again)
        assert {kind: [one["name"] for one in before[kind]] for kind in MADE} == MADE
        a_stranger_gets_the_dates_that_were_promised(again, tmp_path)
        assert [build["status"] for build in scheduled(again)] == ["SUCCESS", "SUCCESS"]
        a_misspelt_column_is_a_failed_build_in_bigquerys_words(example, again)
        assert inventory(again)["internal_errors"] == []
    results = (example.location / "versions").glob("*/demo/result.json")
    assert [json.loads(result.read_text())["verdict"] for result in results] == ["green", "green"]


def assert_charts_and_numbers(example: Example) -> None:
    """Check what the green build published."""
    (folder,) = (example.location / "results").glob("*/demo")
    packages = json.loads((folder / "result.json").read_text())["evidence"]["packages"]
    assert packages["overlay"] == []  # the machine has all requirements, and no index is asked
    for chart in CHARTS:
        assert "<svg" in (folder / f"outputs/{chart}.svg").read_text()[:1000]
    rows = list(csv.DictReader((folder / "outputs/stations.csv").read_text().splitlines()))
    assert len(rows) == 70
    counts = [int(row["trips"]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 2556  # all trips of April: every one of them began at a station of the other table
    assert (folder / "demo-clean.html").read_text().count("data:image/svg+xml") == len(CHARTS) + 1


def a_stranger_gets_the_dates_that_were_promised(variables: dict[str, str], folder: Path) -> None:
    script = shutil.copy(Path(__file__).with_name("stranger.py"), folder)
    before = datetime.now(UTC).date()
    stranger = subprocess.run(
        [sys.executable, script, PROJECT, BUCKET, PREFIX],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE,  # it waits for three things
    )
    assert stranger.returncode == 0, stranger.stderr
    told = json.loads(stranger.stdout)
    assert told["jobs"] == [f"projects/{PROJECT}/locations/us-central1/jobs/{NAME}"]
    assert told["scheduled"] in [version(before), version(datetime.now(UTC).date())]
    assert told["both"] == told["scheduled"] | version(date(2018, 4, 1))


def version(today: date) -> dict[str, Any]:
    """The executed notebook of a day, and its parameters, as examples/bike-share/notebooks.yaml promises."""
    parameters = {"start_date": str(today - timedelta(days=30)), "end_date": str(today)}
    return {f"{PREFIX}/versions/{today}/demo/demo.ipynb": parameters}


def a_misspelt_column_is_a_failed_build_in_bigquerys_words(
    example: Example, variables: dict[str, str]
) -> None:
    """The build ends with its first step: what is live stays."""
    live = example.live()
    text = (example.repo.folder / "demo.ipynb").read_text()
    assert text.count("trip.subscriber_type") == 1
    example.repo.write({"demo.ipynb": text.replace("trip.subscriber_type", "trip.subscriber_typ")})
    build = example.submit(variables)
    assert build.returncode == 1, build.stdout
    assert "Name subscriber_typ not found inside trip at [6:20]" in build.stdout
    assert "failed: step exited with non-zero status: 1" in build.stdout + build.stderr
    assert inventory(variables)["compute.instances"] == []
    assert example.live() == live


def inventory(variables: dict[str, str]) -> dict[str, Any]:
    url = f"{variables['LOCALCLOUD_URL']}/_localcloud/inventory"
    return dict(requests.get(url, timeout=PATIENCE).json())


def scheduled(variables: dict[str, str]) -> list[dict[str, Any]]:
    """Return the scheduled builds, once both have ended."""
    tag = f"nb-live-{NAME}"

    def ended() -> list[dict[str, Any]]:
        builds = [build for build in inventory(variables)["builds"] if tag in build.get("tags", ())]
        return builds if len(builds) == 2 and all("finishTime" in build for build in builds) else []

    return list(until(ended, "the scheduled builds' end"))
