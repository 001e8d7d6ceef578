"""Rooms of the process runner, after which this machine must look as before; and a served Cloud Build."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloudbuild.process.runner import ProcessRoom, ProcessRunner
from tests.localcloud.cloudbuild.steps import Run, mounts_naming, processes_naming, runs
from tests.localcloud.cloudbuild.world import World, served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "build"
    path.mkdir()
    return path


@pytest.fixture
def room(folder: Path) -> Iterator[ProcessRoom]:
    root = sorted(Path("/").iterdir())
    opened = ProcessRunner().open("b", folder)
    yield opened
    opened.close()
    assert not folder.exists()
    assert mounts_naming(str(folder)) == []
    assert sorted(Path("/").iterdir()) == root
    assert processes_naming(str(folder)) == []


@pytest.fixture
def run(room: ProcessRoom) -> Run:
    return runs(room)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with served(tmp_path / "cloud") as running:
        yield running
    assert processes_naming(str(tmp_path / "cloud")) == []
    assert list(tmp_path.glob("cloud/builds/*/room")) == []
