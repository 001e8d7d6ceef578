"""The whole of it without a network.

Only `lo` is up, there is no git either, and nobody even asks for a name beyond it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.builder_process import BUCKET, ROOT, VM_ACCOUNT, notebook

pytestmark = pytest.mark.needs("namespaces")

ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
CLOSED_WORLD = str(Path(__file__).with_name("closed_world.py"))


@pytest.fixture
def offline(tmp_path: Path) -> tuple[list[str], Path]:
    """The prefix of a command that runs it in a closed world, and the path of that world's report."""
    report = tmp_path / "caught.json"
    return [*ALONE, sys.executable, CLOSED_WORLD, str(report), str(tmp_path / "resolv.conf")], report


def environment(**options: str) -> dict[str, str]:
    """As in a build: nothing of the user's own Google set-up."""
    own = ("NB_", "GOOGLE", "CLOUDSDK", "GCE_")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**rest, "PYTHONPATH": str(ROOT), **options}


def test_a_run_is_green_without_a_network_and_nothing_looks_for_one(
    offline: tuple[list[str], Path], tmp_path: Path
) -> None:
    before, report = offline
    plain = tmp_path / "no-git-here"
    (plain / "nb").mkdir(parents=True)
    (plain / "nb/demo.ipynb").write_text(
        notebook("open('outputs/a.csv', 'w').write(open('data.txt').read())")
    )
    (plain / "nb/data.txt").write_text("a,b")
    done = subprocess.run(
        [
            *before,
            *(
                sys.executable,
                "-m",
                "localcloud",
                "exec",
                "--state",
                str(tmp_path / "state"),
                "--bucket",
                BUCKET,
                "--prefix",
                "ci",
                "--",
            ),
            *("python", str(ROOT / "entrypoint.py"), "run"),
        ],
        cwd=plain,
        env=environment(
            NB_NOTEBOOKS="nb/*.ipynb",
            NB_GCS_LOCATION=f"gs://{BUCKET}/ci",
            NB_VM_SERVICE_ACCOUNT=VM_ACCOUNT,
            NB_RUN_ID="alone",
            NB_EXPECT="outputs/a.csv",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert (
        tmp_path / "state/storage" / BUCKET / "ci/results/alone/nb-demo/outputs/a.csv"
    ).read_text() == "a,b"
    inventory = json.loads((tmp_path / "state/inventory.json").read_text())
    assert inventory["compute.instances"] == inventory["compute.disks"] == []
    caught = set(json.loads(report.read_text()))
    assert "name trap-is-set.example" in caught, "the trap did not work"
    assert caught == {"name trap-is-set.example"}


def test_the_trap_catches_programs_that_look_beyond(offline: tuple[list[str], Path]) -> None:
    before, report = offline
    program = "import urllib.request as u\ntry: u.urlopen('http://metadata.google.internal/', timeout=5)\nexcept OSError: pass"
    subprocess.run([*before, sys.executable, "-c", program], check=True, env=environment())
    caught = json.loads(report.read_text())
    assert "name metadata.google.internal" in caught
    assert "connection to port 80" in caught
