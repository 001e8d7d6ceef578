"""Whole builds: a repo's cloudbuild.yaml with our step in it, on the local Cloud Build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builder.act.build_end import MARGIN
from localcloud.cloud import Cloud
from tests.e2e.world import BUCKET, VM_ACCOUNT, Repo, notebook, until

pytestmark = pytest.mark.slow

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
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud", "submit", "--substitutions", f"_NOTEBOOK={notebook_name}", "."],
        cwd=repo.folder,
        env={**os.environ, **cloud.environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def vms(cloud: Cloud) -> list[str]:
    """The names of the VMs that exist."""
    return [item["name"] for item in cloud.inventory()["compute.instances"]]


def test_a_killed_build_leaves_a_vm_that_its_deadline_removes_and_the_next_run_tells_of(
    own_cloud: Cloud, repo: Repo
) -> None:
    repo.write(FILES)
    with submit(own_cloud, repo, "long.ipynb") as first:
        until(lambda: any((own_cloud.state / "storage" / BUCKET).rglob("heartbeat.json")), "a heartbeat")
        (name,) = vms(own_cloud)
        first.send_signal(signal.SIGINT)  # the user cancels: Cloud Build kills the step, without a word to it
        output, _ = first.communicate(timeout=60)
    assert first.returncode == 130, output
    assert "CANCELLED" in output
    assert vms(own_cloud) == [name]
    own_cloud.clock.advance(3 * 3600)
    until(lambda: vms(own_cloud) == [], "the end of the VM by its own deadline")
    with submit(own_cloud, repo, "quick.ipynb") as second:
        output, _ = second.communicate(timeout=110)
    assert second.returncode == 0, output
    assert f"ended without deleting its VM {name} in us-central1-" in output
    assert output.count("ended without deleting its VM") == 1
    assert vms(own_cloud) == []


def test_a_red_notebook_is_a_failed_build(own_cloud: Cloud, repo: Repo) -> None:
    repo.write({**FILES, "quick.ipynb": notebook("1 / 0")})
    with submit(own_cloud, repo, "quick.ipynb") as build:
        output, _ = build.communicate(timeout=110)
    assert build.returncode == 1
    assert "ZeroDivisionError" in output
    assert "failed: step exited with non-zero status: 1" in output
    assert vms(own_cloud) == []


def test_a_build_whose_timeout_is_near_ends_with_a_verdict_and_without_vms(
    own_cloud: Cloud, repo: Repo
) -> None:
    timeout = int(MARGIN) + 20
    account = (
        "serviceAccount: projects/local-project/serviceAccounts/builder@local-project.iam.gserviceaccount.com"
    )
    build_file = BUILD_FILE.replace("timeout: 7200s", f"timeout: {timeout}s\n{account}")
    repo.write({**FILES, "cloudbuild.yaml": build_file})
    with submit(own_cloud, repo, "long.ipynb") as build:
        output, _ = build.communicate(timeout=timeout)
    assert build.returncode == 1, output
    assert f"by its own timeout of {timeout} s, and the worst case is" in output
    assert f"The build's own timeout of {timeout} s leaves no time." in output
    assert "Raise `timeout` in cloudbuild.yaml (worst case " in output
    assert "failed: step exited with non-zero status: 5" in output
    assert "left behind: nothing" in output
    assert vms(own_cloud) == []
