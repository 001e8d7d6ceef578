"""The files that git tracks, read from its index, without git. The owner of the files does not matter."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_SUBMODULE = 0o160000
_SHA256_REPOSITORY = re.compile(
    r"^[ \t]*objectformat[ \t]*=[ \t]*sha256[ \t]*$", re.IGNORECASE | re.MULTILINE
)


class IndexUnreadable(ValueError):
    """A git index cannot be read; the message says which one and what to do."""


@dataclass(frozen=True)
class Tracked:
    """The top folder of a working tree, and the paths in it that git tracks: files with symbolic links, and submodules.

    Paths are relative to `top`, with slashes. Names that are not UTF-8 hold surrogates, as Python decodes them.
    """

    top: Path
    files: frozenset[str]
    submodules: frozenset[str]


def find_tracked(folder: Path) -> Tracked | None:
    """Return what the repository around `folder` tracks, or None if it tracks nothing in `folder`.

    `.git` may be a folder, or the file that a worktree or submodule has. A `.git` file that points nowhere counts as no
    repository. Raises IndexUnreadable.
    """
    for top in (folder, *folder.parents):
        if os.path.lexists(top / ".git"):
            git = _git_folder(top)
            tracked = None if git is None else _read(top, git)
            return tracked if tracked is not None and _reaches(tracked, folder) else None
    return None


def _reaches(tracked: Tracked, folder: Path) -> bool:
    if folder == tracked.top:
        return bool(tracked.files)
    inside = folder.relative_to(tracked.top).as_posix() + "/"
    return any(path.startswith(inside) for path in tracked.files)


def _git_folder(top: Path) -> Path | None:
    dot_git = top / ".git"
    if dot_git.is_dir():
        return dot_git
    try:
        text = dot_git.read_text("utf-8", errors="surrogateescape").strip()
    except OSError:
        return None
    if not text.startswith("gitdir:"):
        return None
    git = top / text.removeprefix("gitdir:").strip()
    return git if git.is_dir() else None


def _read(top: Path, git: Path) -> Tracked | None:
    index = git / "index"
    if not index.exists():
        return None
    _refuse_split_index(index)
    _refuse_sparse_index(index)
    from dulwich.errors import ChecksumMismatch
    from dulwich.index import Index, IndexEntry, UnsupportedIndexFormat
    from dulwich.object_format import SHA1, SHA256

    try:
        sha256 = _is_sha256(git)
        _refuse_damaged_index(index, "sha256" if sha256 else "sha1")
        entries = Index(os.fspath(index), object_format=SHA256 if sha256 else SHA1)
    except (
        OSError,
        ValueError,
        IndexError,
        AssertionError,
        struct.error,
        ChecksumMismatch,
        UnsupportedIndexFormat,
    ) as error:
        message = (
            f"{index} cannot be read ({error}); see that `git status` works, or stage from a fresh clone"
        )
        raise IndexUnreadable(message) from error
    files: set[str] = set()
    submodules: set[str] = set()
    for name, entry in entries.items():
        path = os.fsdecode(name)
        if isinstance(entry, IndexEntry) and entry.skip_worktree:
            continue  # a sparse checkout leaves it out on purpose
        mode = entry.mode if isinstance(entry, IndexEntry) else stat.S_IFREG
        if mode == _SUBMODULE:
            submodules.add(path)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            files.add(path)
    return Tracked(top, frozenset(files), frozenset(submodules))


def _is_sha256(git: Path) -> bool:
    """True if the repository's object format is SHA-256; the wrong format would misread every entry."""
    common = git / "commondir"
    shared = git / common.read_text("utf-8").strip() if common.exists() else git
    try:
        config = (shared / "config").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return bool(_SHA256_REPOSITORY.search(config))


def _refuse_damaged_index(index: Path, algorithm: str) -> None:
    """Raise ValueError for an index that does not end with its checksum, or with the zeros of `index.skipHash`.

    dulwich takes an index without a checksum too, which one that was cut may be.
    """
    content = index.read_bytes()
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    wanted = hashlib.new(algorithm, content[:-size], usedforsecurity=False).digest()
    if content[-size:] not in (wanted, bytes(size)):
        raise ValueError("its checksum is wrong")


def _refuse_split_index(index: Path) -> None:
    """Raise IndexUnreadable for a split index, whose shared part dulwich does not read."""
    if any(index.parent.glob("sharedindex.*")) and b"link\0\0" in index.read_bytes():
        message = f"{index} is split in two; join it with: git update-index --no-split-index"
        raise IndexUnreadable(message)


def _refuse_sparse_index(index: Path) -> None:
    """Raise IndexUnreadable for a sparse index, whose entries can be folders. Its last extension is `sdir`, empty."""
    with index.open("rb") as file:
        file.seek(max(0, index.stat().st_size - 64))
        if b"sdir\0\0\0\0" in file.read():
            message = f"{index} is sparse; write every file into it with: git sparse-checkout reapply --no-sparse-index"
            raise IndexUnreadable(message)
