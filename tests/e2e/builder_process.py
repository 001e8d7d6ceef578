"""The tools of end-to-end tests: notebooks, a git repo, and the builder as a process on a local cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "nb-test"
VM_ACCOUNT = "notebook-vm@local-project.iam.gserviceaccount.com"

Cell = str | tuple[str, list[str]] | dict[str, Any]


def markdown(source: str, tag: str) -> dict[str, Any]:
    """Return a Markdown cell with a tag, for `notebook`."""
    return {"cell_type": "markdown", "metadata": {"tags": [tag]}, "source": source}


def notebook(*cells: Cell, kernel: str = "python3") -> str:
    """A notebook of these cells: the source of a code cell, a pair of one and its tags, or a Markdown cell."""
    document = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": kernel, "display_name": kernel, "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": [{"id": f"cell-{number}", **_cell(cell)} for number, cell in enumerate(cells)],
    }
    return json.dumps(document)


def _cell(cell: Cell) -> dict[str, Any]:
    if isinstance(cell, dict):
        return cell
    source, tags = (cell, []) if isinstance(cell, str) else cell
    metadata = {"tags": tags} if tags else {}
    return {
        "cell_type": "code",
        "metadata": metadata,
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


@dataclass
class Repo:
    """A git repo in a folder of its own."""

    folder: Path

    def write(self, files: Mapping[str, str | bytes]) -> Repo:
        """Write files and commit them."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message=files")
        return self

    def git(self, *arguments: str) -> None:
        """Run git, untouched by the user's own configuration."""
        command = ["git", "-c", "user.name=T", "-c", "user.email=t@example.com", *arguments]
        alone = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(command, cwd=self.folder, env=alone, check=True)


@dataclass
class Finished:
    """A builder process that has ended."""

    code: int
    output: str
    run: str
    bucket: Path
    prefix: str

    def summary(self) -> dict[str, Any]:
        """summary.json of this run."""
        path = self.bucket / self.prefix / "results" / self.run / "summary.json"
        return dict(json.loads(path.read_text()))

    def job(self, name: str) -> dict[str, Any]:
        """One job's entry in the summary."""
        return next(job for job in self.summary()["jobs"] if job["job"] == name)

    def published(self, job: str) -> dict[str, bytes]:
        """The folder that the summary names as the job's: content by relative name."""
        folder = self.bucket / self.job(job)["output"].removeprefix(f"gs://{self.bucket.name}/")
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }


@dataclass
class Builder:
    """Runs the builder on one cloud as a user's build would."""

    cloud: Cloud
    folder: Path
    prefix: str = field(default_factory=lambda: f"t-{uuid.uuid4().hex[:8]}")
    patience: float = PATIENCE
    """The most seconds that a run may take."""

    def __post_init__(self) -> None:
        self.cloud.iam.grant_below(BUCKET, self.prefix)

    def environment(self, **options: str) -> dict[str, str]:
        """The environment of a build step with these NB_ options."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("NB_")},
            **self.cloud.environment("notebook-builder"),
            "NB_GCS_LOCATION": f"gs://{BUCKET}/{self.prefix}",
            "NB_VM_SERVICE_ACCOUNT": VM_ACCOUNT,
            "NB_RUN_ID": f"run-{uuid.uuid4().hex[:8]}",
            **options,
        }

    def start(self, command: str = "run", **options: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
        """Start the builder and return its process and environment; flags may follow the command."""
        environment = self.environment(**options)
        return self._process(ROOT / "entrypoint.py", command.split(), environment), environment

    def start_script(self, script: Path, **options: str) -> subprocess.Popen[str]:
        """Start `run` by a script that calls `builder.cli.main`."""
        return self._process(script, ["run"], self.environment(**options))

    def _process(
        self, script: Path, arguments: list[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str = "run", **options: str) -> Finished:
        """Run the builder to its end."""
        process, environment = self.start(command, **options)
        try:
            output, _ = process.communicate(timeout=self.patience)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"the builder did not end:\n{output}")
        bucket = self.cloud.state / "storage" / BUCKET
        return Finished(process.returncode, output, environment["NB_RUN_ID"], bucket, self.prefix)

    def left(self) -> list[str]:
        """VMs and disks that are still there."""
        inventory = self.cloud.inventory()
        return [item["name"] for kind in ("compute.instances", "compute.disks") for item in inventory[kind]]


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {seconds} s")
