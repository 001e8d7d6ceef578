"""The source of a build whose steps are processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.engines.build import RunnerError
from localcloud.engines.build_process.runner import ProcessWorker
from tests.localcloud.cloudbuild.steps import Run, tgz


def test_source_is_unpacked_with_executable_bits(worker: ProcessWorker, tmp_path: Path, run: Run) -> None:
    worker.unpack(
        tgz(tmp_path / "s.tgz", {"run.sh": (b"#!/bin/sh\necho ran\n", 0o755), "a/b": (b"x", 0o644)})
    )
    assert run("./run.sh; cat /workspace/a/b; test -x a/b || echo no") == (0, "ran\nxno\n")


def test_source_that_reaches_out_is_refused(worker: ProcessWorker, tmp_path: Path, folder: Path) -> None:
    path = tgz(tmp_path / "s.tgz", {"../out": (b"x", 0o644)})
    with pytest.raises(RunnerError, match=r"the source s\.tgz cannot be unpacked: .*outside the destination"):
        worker.unpack(path)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"PK\5\6" + bytes(18), b"\x1f\x8b\x08\0\0\0\0\0\0\0xxx"],
    ids=["empty", "no archive", "zip", "broken gzip"],
)
def test_damaged_source_is_an_error(worker: ProcessWorker, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tgz").write_bytes(content)
    with pytest.raises(RunnerError, match=r"the source s\.tgz cannot be unpacked"):
        worker.unpack(tmp_path / "s.tgz")


def test_processes_make_no_images(worker: ProcessWorker) -> None:
    with pytest.raises(RunnerError, match=r"image x/y cannot be pushed.*--runner docker"):
        worker.push("x/y", print)
