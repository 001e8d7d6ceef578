"""A build's files in a directory of the host: source, script, a step's output, and their end."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zlib
from pathlib import Path

from localcloud.core import archives
from localcloud.engines.build import OUTPUT_LIMIT, RunnerError

WORKSPACE = "/workspace"


def unpack(archive: Path, target: Path) -> None:
    """Unpack a .tgz or .tar into a directory; RunnerError if it is damaged or leaves the directory."""
    try:
        with tarfile.open(archive) as packed:
            archives.unpack(packed, target)
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        raise RunnerError(f"the source {archive.name} cannot be unpacked: {error}") from error


def executable(script: str) -> bytes:
    """Content of the file for a step's script: Cloud Build takes /bin/sh if no first line names a program."""
    return (script if script.startswith("#!") else f"#!/bin/sh\n{script}").encode()


def read_output(folder: Path) -> bytes:
    """First OUTPUT_LIMIT bytes of the file `output` in a step's $BUILDER_OUTPUT; empty when there is no plain file."""
    try:
        # The step's file may be a pipe, which must not block, or a link, which has no meaning on the host.
        descriptor = os.open(folder / "output", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor has no path
        return file.read(OUTPUT_LIMIT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def remove(folder: Path) -> None:
    """Remove a directory with all in it, also read-only files; no effect if it does not exist."""
    for inner, _, _ in os.walk(folder):  # top-down: each is opened before it is listed
        for entry in os.scandir(inner):
            if entry.is_dir(follow_symlinks=False):
                Path(entry.path).chmod(0o700)
    if folder.exists():
        shutil.rmtree(folder)
