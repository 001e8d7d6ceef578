"""A build's files in a directory of the host: source, script, artifacts, a step's output, and their end."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

from localcloud import archives
from localcloud.cloudbuild.runner import OUTPUT_LIMIT, RunnerError

WORKSPACE = "/workspace"


def unpack(archive: Path, target: Path) -> None:
    """Unpack a .tgz, .tar or .zip into a directory; RunnerError when it is damaged or reaches out of there."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _unpack_zip(opened, target)
        else:
            with tarfile.open(archive) as packed:
                archives.unpack(packed, target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise RunnerError(f"the source {archive.name} cannot be unpacked: {error}") from error


def _unpack_zip(archive: zipfile.ZipFile, target: Path) -> None:
    for member in archive.infolist():
        parts = Path(member.filename).parts
        if ".." in parts or Path(member.filename).is_absolute():
            raise ValueError(f"{member.filename!r} would be outside the destination")
        path = Path(archive.extract(member, target))
        mode = member.external_attr >> 16
        if not member.is_dir() and mode & stat.S_IXUSR:
            path.chmod(path.stat().st_mode | 0o111)


def matching(root: Path, pattern: str) -> list[Path]:
    """Files below `root`, which stands for /workspace, that an artifact's path fits; sorted.

    `*` and `?` stop at a slash, `**` does not, `[…]` is a set. A link counts when it leads to a file below `root`.
    """
    wanted = re.compile(_expression(os.path.normpath(pattern.removeprefix(f"{WORKSPACE}/"))))
    return sorted(
        path
        for folder, _, names in os.walk(root)
        for path in (Path(folder, name) for name in names)
        if wanted.fullmatch(str(path.relative_to(root))) and _is_inside(path, root)
    )


def _is_inside(path: Path, root: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def _expression(pattern: str) -> str:
    """Glob as a regular expression for a path relative to the workspace."""
    tokens = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    return "".join(_token(token) for token in tokens)


def _token(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if token.startswith("[") and token.endswith("]"):
        inside = token[1:-1].replace("\\", "\\\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(token)


def executable(script: str) -> bytes:
    """Content of the file that a step's script becomes: Cloud Build takes /bin/sh where no first line names another."""
    return (script if script.startswith("#!") else f"#!/bin/sh\n{script}").encode()


def read_output(folder: Path) -> bytes:
    """First OUTPUT_LIMIT bytes of the file `output` in a step's $BUILDER_OUTPUT; empty when there is no plain file."""
    try:
        # What a step leaves there may be a pipe, which must not stop us, or a link, which means nothing on the host.
        descriptor = os.open(folder / "output", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor has no path
        return file.read(OUTPUT_LIMIT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def remove(folder: Path) -> None:
    """Remove a directory with all in it, also what steps have made read-only; nothing happens when it is not there."""
    for inner, _, _ in os.walk(folder):  # top-down: each is opened before it is listed
        for entry in os.scandir(inner):
            if entry.is_dir(follow_symlinks=False):
                Path(entry.path).chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)
