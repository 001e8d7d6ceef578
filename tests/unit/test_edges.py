"""The edges of a process: what a terminal cannot show, what is missing around us, and names of zones and regions."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.act.result import exit_code
from builder.model import is_zone, region_of
from builder.plan.slugs import job_slugs

ROOT = Path(__file__).resolve().parents[2]


def plan(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`plan` of a notebook with an umlaut in its name, in this folder."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": "1",
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [cell]}
    (folder / "über.ipynb").write_text(json.dumps(document), encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NB_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), "plan", *arguments],
        cwd=folder,
        env={**clean, "NB_NOTEBOOKS": "über.ipynb", "NB_GCS_LOCATION": "gs://bucket/ci", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_log_that_cannot_show_a_letter_is_no_bug_of_ours(tmp_path: Path) -> None:
    done = plan(tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\xfcber.ipynb" in done.stdout


def test_plan_prints_no_escape_codes_of_file_names(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\u202etxt.csv").write_text("1")
    done = plan(tmp_path)
    assert done.returncode == 0, done.stderr
    [line] = [text for text in done.stdout.splitlines() if text.startswith("  files ")]
    assert line.startswith("  files        2: a [2J txt.csv, ")


def test_a_plan_leaves_blank_the_values_that_only_a_run_knows(tmp_path: Path) -> None:
    done = plan(tmp_path, "--format", "json")
    assert done.returncode == 0, done.stderr
    [job] = json.loads(done.stdout)["jobs"]
    assert job["instance"]["serviceAccounts"][0]["email"] == "<NB_VM_SERVICE_ACCOUNT>"


def test_a_subnetwork_is_in_the_region_of_the_plan(tmp_path: Path) -> None:
    done = plan(tmp_path, "--format", "json", NB_SUBNETWORK="ci", NB_ZONES="europe-west4")
    [interface] = json.loads(done.stdout)["jobs"][0]["instance"]["networkInterfaces"]
    assert interface["subnetwork"].endswith("/regions/europe-west4/subnetworks/ci")


@pytest.mark.parametrize(
    ("place", "region", "zone"),
    [
        ("us-central1", "us-central1", False),
        ("us-central1-a", "us-central1", True),
        ("region:us-east1", "us-east1", True),
    ],
)
def test_zones_and_regions_are_distinguished(place: str, region: str, zone: bool) -> None:  # noqa: FBT001
    assert (region_of(place), is_zone(place)) == (region, zone)


def test_long_paths_keep_their_beginning_and_get_a_hash() -> None:
    first, second = job_slugs(["a" * 120 + "/x.ipynb", "a" * 120 + "/y.ipynb"])
    assert first != second
    assert first.startswith("a" * 100 + "-")


def test_a_run_without_results_has_no_verdict() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        exit_code([], [])


def test_a_reader_that_has_enough_is_no_bug_of_ours(tmp_path: Path) -> None:
    plan(tmp_path)
    program = shlex.join([sys.executable, str(ROOT / "entrypoint.py")])
    command = f"{program} plan --notebooks über.ipynb --gcs-location gs://bucket/ci"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 141}
    assert done.stderr == ""
