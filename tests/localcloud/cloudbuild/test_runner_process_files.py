"""The source and the artifacts of a build whose steps are processes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from localcloud.cloudbuild.process.runner import ProcessRoom
from localcloud.cloudbuild.runner import RunnerError
from tests.localcloud.cloudbuild.steps import Run, tgz

# The source and the artifacts.


def test_source_is_unpacked_with_executable_bits(room: ProcessRoom, tmp_path: Path, run: Run) -> None:
    room.unpack(tgz(tmp_path / "s.tgz", {"run.sh": (b"#!/bin/sh\necho ran\n", 0o755), "a/b": (b"x", 0o644)}))
    assert run("./run.sh; cat /workspace/a/b; test -x a/b || echo no") == (0, "ran\nxno\n")


def test_zip_is_unpacked_with_executable_bits(room: ProcessRoom, tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name, mode in (("run.sh", 0o755), ("a/b", 0o644)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, "#!/bin/sh\necho ran\n")
    room.unpack(tmp_path / "s.zip")
    assert run("./run.sh; test -x a/b || echo no") == (0, "ran\nno\n")


@pytest.mark.parametrize("name", ["../out", "/out"])
@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_source_that_reaches_out_is_refused(
    room: ProcessRoom, tmp_path: Path, folder: Path, name: str, kind: str
) -> None:
    path = tmp_path / f"s.{kind}"
    if kind == "tgz":
        tgz(path, {name: (b"x", 0o644)})
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
    if (name, kind) == ("/out", "tgz"):  # the slash is taken off, as by tar
        room.unpack(path)
        assert (folder / "workspace/out").exists()
    else:
        with pytest.raises(
            RunnerError, match=f"the source s.{kind} cannot be unpacked: .*outside the destination"
        ):
            room.unpack(path)
    assert not (folder / "out").exists()
    assert not Path("/out").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"\x1f\x8b\x08\0\0\0\0\0\0\0xxx"],
    ids=["empty", "no archive", "broken gzip"],
)
def test_damaged_source_is_an_error(room: ProcessRoom, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tgz").write_bytes(content)
    with pytest.raises(RunnerError, match=r"the source s\.tgz cannot be unpacked"):
        room.unpack(tmp_path / "s.tgz")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("*.txt", ["a.txt"], id="star"),
        pytest.param("**.txt", ["a.txt", "d/b.txt", "d/e/c.txt"], id="two stars"),
        pytest.param("**/c.txt", ["d/e/c.txt"], id="two stars as a folder"),
        pytest.param("d/*", ["d/b.txt", "d/in"], id="folder"),
        pytest.param("/workspace/d/[a-c].txt", ["d/b.txt"], id="absolute, with a range"),
        pytest.param("./a.tx?", ["a.txt"], id="question mark"),
        pytest.param("[!a]*", [], id="negated set"),
        pytest.param("d", [], id="a folder itself"),
        pytest.param("../*", [], id="leads up"),
    ],
)
def test_artifacts_are_found(room: ProcessRoom, run: Run, pattern: str, found: list[str]) -> None:
    assert room.workspace is not None
    run("mkdir -p d/e; touch a.txt d/b.txt d/e/c.txt; ln -s ../a.txt d/in; ln -s /etc/passwd d/out")
    assert [str(path.relative_to(room.workspace)) for path in room.collect(pattern)] == found


def test_processes_make_no_images(room: ProcessRoom) -> None:
    with pytest.raises(RunnerError, match=r"image x/y cannot be pushed.*--runner docker"):
        room.push("x/y", print)
