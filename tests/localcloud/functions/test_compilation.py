"""The compilation of a function's source ends with localcloud, even if localcloud is killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localcloud.engines.function import source
from tests.patience import PATIENCE, SOON
from tests.polling import alive, eventually

_UNPACK = "import pathlib, sys; from localcloud.engines.function import source; source.unpack(*map(pathlib.Path, sys.argv[1:]))"
_LINES = 200_000  # a second of compilation or more
_COMPILE = ["-I", "-m", "compileall"]


def _compilers(owner: int) -> list[psutil.Process]:
    """The processes below this one that compile."""
    found = []
    for process in psutil.Process(owner).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[1:4] == _COMPILE:
                found.append(process)
    return found


def _damaged(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", "value = 1\n" * 1000)
    content = bytearray(path.read_bytes())
    start = len("main.py") + 30  # the size of a member's header without its name
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)


def _in_each_other(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("main.py", "a", "a/b"):
            archive.writestr(name, "")


@pytest.mark.parametrize("write", [_damaged, _in_each_other], ids=["damaged", "in each other"])
def test_an_archive_that_cannot_be_unpacked_is_a_failed_build(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "source.zip")
    with pytest.raises(source.BuildFailed, match="no zip file that can be read"):
        source.unpack(tmp_path / "source.zip", tmp_path / "unpacked")


def test_compilation_ends_with_its_owner_that_is_killed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("main.py", "value = [1, 2]\n" * _LINES)
    owner = subprocess.Popen(
        [sys.executable, "-c", _UNPACK, str(tmp_path / "source.zip"), str(tmp_path / "unpacked")]
    )
    try:
        eventually(lambda: _compilers(owner.pid), lambda: f"nothing compiles; exit code {owner.poll()}")
        (compiler,) = _compilers(owner.pid)
        compiler.suspend()  # so that it does not end by itself
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(PATIENCE)
    try:
        eventually(lambda: not alive(compiler.pid), lambda: "it still compiles", seconds=SOON)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            compiler.kill()
