"""Source archives of builds: required files, refused files, and compilation."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from localcloud.engines.supervisor import OwnedProcess

# zipfile raises these for damaged archives (NotImplementedError: an unknown compression), and the file system raises
# OSError for members that exclude each other.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
_MAX_BYTES = 512 << 20

_NO_MAIN = (
    "missing main.py and GOOGLE_FUNCTION_SOURCE not specified. Either create the function in main.py or specify "
    "GOOGLE_FUNCTION_SOURCE to point to the file that contains the function"
)
_COMPILE_SECONDS = 120


class BuildFailed(Exception):
    """A build of a function fails; str() says why."""


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's files below a new folder and byte-compile them; raises `BuildFailed`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _check(members)
            folder.mkdir(parents=True)
            opened.extractall(folder, members)
    except _UNREADABLE as error:
        raise BuildFailed(f"the source archive is no zip file that can be read: {error}") from error
    if not (folder / "main.py").is_file():
        raise BuildFailed(_NO_MAIN)
    _compile(folder)


def requirements(folder: Path) -> str:
    """Return the text of the source's requirements.txt, "" without one; raises `BuildFailed`."""
    file = folder / "requirements.txt"
    if not file.is_file():
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except ValueError as error:
        raise BuildFailed("requirements.txt is not UTF-8") from error


def _check(members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > _MAX_BYTES:
        raise BuildFailed(f"the source is larger than {_MAX_BYTES >> 20} MB when it is unpacked")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise BuildFailed(f"the source archive has a path that leads out of it: {member.filename}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BuildFailed(f"localcloud takes no symbolic links in a source archive: {member.filename}")


def _compile(folder: Path) -> None:
    """Compile as Google's build does, by the interpreter that will run it: a syntax error ends the build."""
    with tempfile.TemporaryFile() as output:
        process = OwnedProcess.start(
            [sys.executable, "-I", "-m", "compileall", "-q", "."],
            cwd=folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with process:
            try:
                code = process.wait(_COMPILE_SECONDS)
            except TimeoutError:
                raise BuildFailed(f"the source does not compile within {_COMPILE_SECONDS} s") from None
        output.seek(0)
        if code:
            raise BuildFailed(
                f"failed to compile the source:\n{output.read().decode(errors='replace').strip()}"
            )
