"""Packs a folder into the .tgz of a build's source, as `gcloud builds submit` does."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.cli.submit.ignoring import IgnoreRules


@dataclass(frozen=True)
class Source:
    """The submitted part of a folder: paths from `root`, in order, and the number of files among them."""

    root: Path
    paths: tuple[str, ...]
    files: int


def choose(root: Path, rules: IgnoreRules | None) -> Source:
    """Return the part of a folder that the rules keep (None: all), empty folders and links included; raises OSError."""
    found = list(_left_in(root, "", rules))
    files = sum(entry.is_symlink() or not entry.is_dir() for entry, _ in found)
    return Source(root, tuple(path for _, path in found), files)


def _left_in(folder: Path, prefix: str, rules: IgnoreRules | None) -> Iterator[tuple[os.DirEntry[str], str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = prefix + entry.name
        # To gcloud's rules a link to a folder is a folder; to git's it is a file.
        if not _can_travel(entry) or (rules and rules.ignored(path, folder=entry.is_dir())):
            continue
        yield entry, path
        if entry.is_dir(follow_symlinks=False):
            yield from _left_in(folder / entry.name, f"{path}/", rules)


def _can_travel(entry: os.DirEntry[str]) -> bool:
    """Leave out sockets, pipes and devices."""
    return entry.is_symlink() or entry.is_dir() or entry.is_file()


def pack(source: Source, archive: Path) -> None:
    """Write the .tgz; the same files make the same bytes. Raises OSError, also for a file that shrinks meanwhile."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in source.paths:
            tar.add(source.root / path, arcname=path, recursive=False, filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
