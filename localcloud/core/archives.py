"""Unpacks an untrusted tar file: nothing is written outside the folder, and no device or pipe is made.

tarfile can refuse such members itself only since Python 3.11.4, and Debian 12 has 3.11.2. This works on every
version.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from pathlib import Path

# Of an archive when it is unpacked; a source is far smaller, and a small archive can have more.
MAX_BYTES = 10 << 30
MAX_MEMBERS = 1_000_000


class UnsafeMember(ValueError):
    """A member of an archive leads out of the folder, fills the disk, or is no file, folder or link.

    `str()` says which.
    """


def unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Write the members below `target`, files with mode 755 or 644 and their time.

    Raises UnsafeMember, and what tarfile and the file system raise.
    """
    target.mkdir(parents=True, exist_ok=True)
    root = target.resolve()
    size = 0
    for number, member in enumerate(archive):
        size += member.size
        if size > MAX_BYTES or number >= MAX_MEMBERS:
            raise UnsafeMember(
                f"at {member.name!r}, the archive has more than {MAX_BYTES >> 20} MB or {MAX_MEMBERS:,} members"
            )
        _write(archive, member, _inside(root, member.name, member.name), root)


def _inside(root: Path, name: str, of: str) -> Path:
    """Path of `name` below `root`, its folder resolved: an earlier member may be a link that the name leads through."""
    path = root / name.lstrip("/")  # as tar takes the slash off
    place = _resolved(path.parent) / path.name if path.name != ".." else _resolved(path)
    if place != root and not place.is_relative_to(root):
        raise UnsafeMember(f"{of!r} would be outside the destination")
    return place


def _resolved(path: Path) -> Path:
    """Like `Path.resolve`, which raises RuntimeError for a loop of links before Python 3.13."""
    return Path(os.path.realpath(path))


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, root: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        _check_link(member, path, root)
        path.unlink(missing_ok=True)
        path.symlink_to(member.linkname)
    elif member.islnk():
        source = _inside(root, member.linkname, member.name)
        path.unlink(missing_ok=True)
        os.link(source, path, follow_symlinks=False)
    elif member.isreg():
        path.unlink(missing_ok=True)
        _write_file(archive, member, path)
    else:
        raise UnsafeMember(f"{member.name!r} is neither a file, a folder nor a link")


def _check_link(member: tarfile.TarInfo, path: Path, root: Path) -> None:
    led_to = path.parent / member.linkname
    if member.linkname.startswith("/") or not _resolved(led_to).is_relative_to(root):
        raise UnsafeMember(f"{member.name!r} is a link to {member.linkname!r}, outside the destination")


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = archive.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
    with contextlib.suppress(OverflowError):  # a time that no file can have
        os.utime(path, (member.mtime, member.mtime))
