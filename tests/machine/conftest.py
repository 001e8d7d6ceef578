"""Fixtures of the tests on real systems: a local cloud whose VMs are Debian in QEMU, and the builder on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.builder_process import BUCKET, Builder, Repo
from tests.machine.qemu import Qemu
from tests.machine.system import system

# The services that a VM calls.
REACHED = (
    *(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}" for name in ("STORAGE", "COMPUTE", "SECRETMANAGER")),
    "BIGQUERY_EMULATOR_HOST",
)

Start = Callable[..., Builder]


@pytest.fixture
def builder_on(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a cloud whose VMs are Debian `suite`, and gives the builder on it in a new repo."""
    booted: list[Qemu] = []
    with contextlib.ExitStack() as stack:

        def start(suite: str, files: dict[str, str], *faults: dict[str, Any]) -> Builder:
            repo = Repo(tmp_path / "repo")
            repo.folder.mkdir()
            repo.git("init", "--quiet", "--initial-branch=main")
            repo.write(files)
            qemu = Qemu(system(suite))
            booted.append(qemu)
            cloud = stack.enter_context(
                Cloud(tmp_path / "cloud", buckets=[BUCKET], faults=faults, boot=qemu.boot)
            )
            variables = cloud.environment()
            qemu.addresses = [variables[name].removeprefix("http://") for name in REACHED]
            return Builder(cloud, repo.folder, patience=1500)

        yield start
    for qemu in booted:
        print(qemu.serial.decode(errors="replace"))  # pytest shows it after a failure
