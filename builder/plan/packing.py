"""Packs files into a reproducible tar.gz: the same files give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from builder.errors import BadInput, Problem
from builder.plan.staged_form import SUFFIX, staged_form

_COMPRESSION = 6


@dataclass(frozen=True)
class StagedFile:
    """A file to stage: its repo-relative path, its source, its size in bytes, and its x-bit."""

    path: str
    source: Path
    size: int
    executable: bool


@dataclass(frozen=True)
class MadeFile:
    """A file from memory: its path in the archive, and its bytes."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Archive:
    """A packed archive: its path, its SHA-256 in hex, its size in bytes, and the SHA-256 of each file by its path."""

    path: Path
    sha256: str
    size: int
    files: Mapping[str, str] = field(default_factory=dict)


def open_staged(file: StagedFile) -> io.BytesIO | io.BufferedReader:
    """Open the bytes of a file as they are staged: a notebook without its outputs, all other files unchanged.

    Raises OSError.
    """
    if file.path.endswith(SUFFIX):
        return io.BytesIO(staged_form(file.source.read_bytes()))
    return file.source.open("rb")


def pack(files: Iterable[StagedFile | MadeFile], target: Path) -> Archive:
    """Write the files to `target`, sorted, without times, owners or any permission but the x-bit.

    Holds one notebook, or one buffer of another file from disk, in memory. Raises BadInput if a file cannot be read,
    or shrinks while it is read.
    """
    hashes: dict[str, str] = {}
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_COMPRESSION, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in sorted(files, key=lambda file: file.path):
            hashes[file.path] = _add(archive, file)
    with target.open("rb") as packed:
        sha256 = hashlib.file_digest(packed, "sha256").hexdigest()
    return Archive(target, sha256, target.stat().st_size, hashes)


def _add(archive: tarfile.TarFile, file: StagedFile | MadeFile) -> str:
    """Add a file. Returns the SHA-256 of its bytes, in hex."""
    entry = tarfile.TarInfo(file.path)
    entry.mode = 0o644
    if isinstance(file, MadeFile):
        entry.size = len(file.content)
        archive.addfile(entry, io.BytesIO(file.content))
        return hashlib.sha256(file.content).hexdigest()
    if file.executable:
        entry.mode = 0o755
    try:
        with open_staged(file) as content:
            entry.size = content.seek(0, io.SEEK_END)
            content.seek(0)
            read = _HashedReader(content)
            archive.addfile(entry, cast("BinaryIO", read))
            return read.digest.hexdigest()
    except OSError as error:
        problem = Problem(file.path, "", f"cannot be packed: {error.strerror or error}")
        raise BadInput([problem]) from error


class _HashedReader:
    """A file that hashes what is read of it, so that the hash is of the bytes that are packed."""

    def __init__(self, content: io.BytesIO | io.BufferedReader) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        self.digest.update(data)
        return data
