"""Packs files into a tar.gz that is the same bytes for the same files, wherever and whenever it is made."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from builder.errors import BadInput, Problem

_COMPRESSION = 6


@dataclass(frozen=True)
class StagedFile:
    """A file to stage: its repo-relative path, where its bytes are, their number, and the x-bit."""

    path: str
    source: Path
    size: int
    executable: bool


@dataclass(frozen=True)
class MadeFile:
    """A file that is on no disk: its path in the archive, and its bytes."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Archive:
    """A packed archive on disk: where, the SHA-256 of its bytes in hex, and their number."""

    path: Path
    sha256: str
    size: int


def pack(files: Iterable[StagedFile | MadeFile], target: Path) -> Archive:
    """Write the files to `target`, sorted, without times, owners or any permission but the x-bit.

    Of what is on disk, holds one buffer in memory, whatever the files' size.

    Raises:
        BadInput: a file cannot be read, or shrank while it was.
    """
    with target.open("wb") as raw:
        hashed = _Hashed(raw)
        with (
            gzip.GzipFile(
                filename="", mode="wb", fileobj=hashed, compresslevel=_COMPRESSION, mtime=0
            ) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for file in sorted(files, key=lambda file: file.path):
                _add(archive, file)
    return Archive(target, hashed.digest.hexdigest(), hashed.size)


def _add(archive: tarfile.TarFile, file: StagedFile | MadeFile) -> None:
    entry = tarfile.TarInfo(file.path)
    entry.mode = 0o644
    if isinstance(file, MadeFile):
        entry.size = len(file.content)
        archive.addfile(entry, io.BytesIO(file.content))
        return
    if file.executable:
        entry.mode = 0o755
    try:
        with file.source.open("rb") as content:
            entry.size = content.seek(0, io.SEEK_END)
            content.seek(0)
            archive.addfile(entry, content)
    except OSError as error:
        problem = Problem(file.path, "", f"cannot be packed: {error.strerror or error}")
        raise BadInput([problem]) from error


class _Hashed(io.RawIOBase):
    """Passes on what is written, and hashes and counts it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]  # typeshed's Buffer is no name before Python 3.12
        self.digest.update(view)
        self.size += view.nbytes
        self._raw.write(view)
        return view.nbytes
