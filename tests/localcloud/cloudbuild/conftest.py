"""Fixtures: a process runner, which must leave this machine as it was, and a served Cloud Build."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.engines.build_process.runner import ProcessRunner, ProcessWorker
from localcloud.profile import OWN_IMAGE
from tests.localcloud.cloudbuild.cloud_fixture import CloudFixture
from tests.localcloud.cloudbuild.steps import Run, mounts_naming, processes_naming, runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "build"
    path.mkdir()
    return path


@pytest.fixture
def worker(folder: Path) -> Iterator[ProcessWorker]:
    root = sorted(Path("/").iterdir())
    opened = ProcessRunner(OWN_IMAGE).open("b", folder)
    yield opened
    opened.close()
    assert not folder.exists()
    assert mounts_naming(str(folder)) == []
    assert sorted(Path("/").iterdir()) == root
    assert processes_naming(str(folder)) == []


@pytest.fixture
def run(worker: ProcessWorker) -> Run:
    return runs(worker)


@pytest.fixture
def cloud_fixture(tmp_path: Path) -> Iterator[CloudFixture]:
    with contextlib.closing(CloudFixture(tmp_path / "cloud")) as running:
        yield running
    assert processes_naming(str(tmp_path / "cloud")) == []
    assert list(tmp_path.glob("cloud/builds/*/worker")) == []
