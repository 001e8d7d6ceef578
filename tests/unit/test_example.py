"""examples/bike-share names its imports, which localcloud has, and builds on pages outlast their notebooks."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.gcloud_commands import ROOT
from tests.patience import PATIENCE

EXAMPLE = ROOT / "examples" / "bike-share"
LOCK = ROOT / "requirements" / "machine-image-scientific.txt"
# What BigQuery's client needs for the types of the example's tables, and imports itself.
IMPORTED_BY_OTHERS = {"db-dtypes"}
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": "1",
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
DEPLOYING = 1800  # seconds that `deploy` may take after the notebooks


def required() -> list[Requirement]:
    """Return the example's requirements."""
    lines = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_the_requirements_list_the_examples_imports() -> None:
    cells = json.loads((EXAMPLE / "demo.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = [re.sub(r"^%.*$", "", text, flags=re.MULTILINE) for text in code if not text.startswith("%%")]
    code.append((EXAMPLE / "charts.py").read_text(encoding="utf-8"))
    modules = {name for text in code for name in imported(ast.parse(text))}
    outside = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names} - {"charts"}
    needed = {re.sub(r"[._]", "-", name) for name in outside}
    assert {each.name for each in required()} == needed | IMPORTED_BY_OTHERS


def imported(tree: ast.Module) -> set[str]:
    """Return the packages that a module imports; of Google's namespace, which packages share, one level more."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            shared = node.module == "google.cloud"
            found |= {f"google.cloud.{alias.name}" for alias in node.names} if shared else {node.module}
    return {name if name.startswith("google.") else name.partition(".")[0] for name in found}


def test_localclouds_machine_has_the_requirements_so_that_the_demo_needs_no_network() -> None:
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    for each in required():
        versions = [version for name, version in locked if name == each.name]
        assert versions, each
        assert all(each.specifier.contains(version) for version in versions), each


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("file", "deploys"),
    [
        pytest.param("docs/setup.md", False, id="set-up"),
        pytest.param("docs/deploy.md", True, id="deploying"),
        pytest.param("examples/bike-share/cloudbuild.yaml", True, id="example"),
    ],
)
def test_a_builds_timeout_exceeds_the_worst_case_that_plan_prints(
    file: str, *, deploys: bool, tmp_path: Path
) -> None:
    """With the defaults, or the example's own settings."""
    if file.startswith("examples"):
        shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    else:
        (tmp_path / "demo.ipynb").write_text(json.dumps(NOTEBOOK))
        (tmp_path / "notebooks.yaml").write_text("notebooks: [{path: demo.ipynb}]\n")
    (timeout,) = re.findall(r"^ *timeout: (\d+)s", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert int(timeout) >= worst_case(tmp_path) + (DEPLOYING if deploys else 0)


@pytest.mark.parametrize(
    ("page", "folder"),
    [
        pytest.param("README.md", EXAMPLE, id="README"),
        pytest.param("localcloud/README.md", ROOT, id="localcloud"),
    ],
)
def test_the_builders_commands_on_pages_need_no_further_option(page: str, folder: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^.*python \S*entrypoint\.py (run|plan) (.*)$", text, re.MULTILINE)
    assert commands
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NB_")}
    for command, flags in commands:
        done = subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py"), "plan", *shlex.split(flags)],
            cwd=folder,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        if command == "run":  # what `run` needs and `plan` does not
            assert "<NB_" not in done.stdout


def worst_case(folder: Path) -> int:
    """Return the seconds that `plan` prints for the notebooks of a folder."""
    account = "notebook-vm@my-project.iam.gserviceaccount.com"
    ours = {
        "PROJECT_ID": "my-project",
        "NB_GCS_LOCATION": "gs://my-bucket/ci",
        "NB_VM_SERVICE_ACCOUNT": account,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NB_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), "plan", "--format", "json"],
        cwd=folder,
        env={**kept, **ours},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["worst_case_seconds"])
