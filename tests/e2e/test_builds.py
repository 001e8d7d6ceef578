"""Builds that are killed: a repo's cloudbuild.yaml with our step in it on the local Cloud Build, and a builder alone.

tests/e2e/test_deploy_served.py has builds that end, green and red.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.act.build_end import MARGIN
from localcloud.cloud import Cloud
from tests.e2e.builder_process import BUCKET, VM_ACCOUNT, Builder, Repo, notebook, until
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
BUILD_FILE = f"""
steps:
  - name: example.pkg.dev/anybody/any/notebook-builder:1
    env:
      - NB_GCS_LOCATION=gs://{BUCKET}/builds
      - NB_VM_SERVICE_ACCOUNT={VM_ACCOUNT}
      - NB_NOTEBOOKS=$_NOTEBOOK
      - NB_TIMEOUT=300
      - BUILD_ID=$BUILD_ID
substitutions:
  _NOTEBOOK: quick.ipynb
timeout: 7200s
options:
  logging: CLOUD_LOGGING_ONLY
"""
FILES = {
    "cloudbuild.yaml": BUILD_FILE,
    "quick.ipynb": notebook("print('quick')"),
    "long.ipynb": notebook("print('at work', flush=True)\nimport time\ntime.sleep(600)"),
}


def submit(cloud: Cloud, repo: Repo, notebook_name: str) -> subprocess.Popen[str]:
    """Start a build of the repo that runs this notebook."""
    cloud.iam.grant_below(BUCKET, "builds")
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud", "submit", "--substitutions", f"_NOTEBOOK={notebook_name}", "."],
        cwd=repo.folder,
        env={**os.environ, **cloud.environment("notebook-builder"), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def instances(cloud: Cloud) -> list[dict[str, Any]]:
    """The VMs that exist."""
    return list(cloud.inventory()["compute.instances"])


def vms(cloud: Cloud) -> list[str]:
    """Their names."""
    return [item["name"] for item in instances(cloud)]


def idle(cloud: Cloud) -> None:
    """Let the next VM live without running its script."""
    cloud.faults.add({"method": "vm.boot", "action": "idle"})


def a_builder_that_was_killed(builder: Builder) -> tuple[str, str]:
    """Return its VM, which was stopped since (that takes its deadline away: only the sweep is left), and its run."""
    cloud = builder.cloud
    idle(cloud)
    cloud.faults.add({"method": "vm.life", "action": "stop", "args": {"after": 600}})
    process, environment = builder.start(NB_NOTEBOOKS="quick.ipynb")
    (vm,) = until(lambda: [vm for vm in instances(cloud) if vm["status"] == "RUNNING"], "a running VM")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    cloud.clock.advance(700)
    assert [vm["status"] for vm in instances(cloud)] == ["TERMINATED"]
    reaped = builder.run("reap")
    assert reaped.code == 0
    assert "nothing to reap" in reaped.output
    return str(vm["name"]), environment["NB_RUN_ID"]


def a_build_that_was_cancelled(cloud: Cloud, repo: Repo, *others: str) -> str:
    """Return its VM, which only its own deadline ends: Cloud Build kills the step, without a word to it."""
    idle(cloud)
    with submit(cloud, repo, "long.ipynb") as build:
        until(lambda: set(vms(cloud)) - set(others), "a VM")
        (name,) = set(vms(cloud)) - set(others)
        staged = cloud.state / "storage" / BUCKET / "builds" / "staging"
        until(lambda: any(staged.rglob("job.json")), "the job's input")
        until(
            lambda: {vm["name"]: vm["status"] for vm in instances(cloud)}[name] == "RUNNING", "a running VM"
        )
        build.send_signal(signal.SIGINT)
        output, _ = build.communicate(timeout=PATIENCE)
    assert build.returncode == 130, output
    assert "CANCELLED" in output
    assert set(vms(cloud)) == {name, *others}
    return name


@pytest.mark.exhaustive  # integration/test_sweep.py has each remnant and what is told of it
def test_vms_of_killed_builders_are_deleted_by_deadline_or_the_next_run_and_reported(
    own_cloud: Cloud, repo: Repo
) -> None:
    repo.write(FILES)
    stopped, run = a_builder_that_was_killed(Builder(own_cloud, repo.folder, "builds"))
    cancelled = a_build_that_was_cancelled(own_cloud, repo, stopped)
    own_cloud.clock.advance(3 * 3600)
    until(lambda: vms(own_cloud) == [stopped], "the end of the VM by its own deadline")
    with submit(own_cloud, repo, "quick.ipynb") as last:
        output, _ = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, output
    assert f"ended without deleting its VM {cancelled} in us-central1-" in output
    assert output.count(f"ended without deleting its VM {cancelled}") == 1
    assert f"removed leftover VM {stopped}" in output
    assert run in output
    assert Builder(own_cloud, repo.folder).left() == []


@pytest.mark.exhaustive
def test_a_build_whose_timeout_is_near_ends_with_a_verdict_and_without_vms(
    own_cloud: Cloud, repo: Repo
) -> None:
    timeout = int(MARGIN) + 60  # a run must have time to begin, also on a busy machine
    account = "serviceAccount: projects/local-project/serviceAccounts/notebook-builder@local-project.iam.gserviceaccount.com"
    build_file = BUILD_FILE.replace("timeout: 7200s", f"timeout: {timeout}s\n{account}")
    repo.write({**FILES, "cloudbuild.yaml": build_file})
    with submit(own_cloud, repo, "long.ipynb") as build:
        output, _ = build.communicate(timeout=PATIENCE)
    assert build.returncode == 1, output
    assert f"by its own timeout of {timeout} s, and the worst case is" in output
    assert f"The build's own timeout of {timeout} s leaves no time." in output
    assert "Raise `timeout` in cloudbuild.yaml (worst case " in output
    assert "failed: step exited with non-zero status: 5" in output
    assert "left behind: nothing" in output
    assert vms(own_cloud) == []
