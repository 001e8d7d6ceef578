"""Buckets and objects as folders and files. Rights and conditions are checked in calls_buckets.py and calls_objects.py.

Object `x` of bucket `b` is the file `storage/b/x` in the state directory. A name that no file can have there (`a//b`,
`folder/`, `x` beside `x/y`) stands for a file in the bucket's folder `.localcloud/`, named by a hash.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from localcloud.core.clock import Clock
from localcloud.core.service import Json
from localcloud.core.times import timestamp
from localcloud.services.storage.content import hashes_of
from localcloud.services.storage.refusals import bucket_not_empty, no_such_bucket
from localcloud.services.storage.rules import is_bucket_name, is_object_name
from localcloud.services.storage.state_index import Index, Version

UNIFORM: Json = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
"""The settings of a bucket that no call has made: localcloud's own, or a folder that somebody made."""

_RESERVED = ".localcloud"
# The longest name of one file on the file systems of Linux, in bytes.
_MAX_SEGMENT = 255


class Store:
    """All buckets and objects of one state directory.

    Hold `lock` from looking at an object or a bucket to the change that depends on it.
    """

    def __init__(self, state: Path, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.scratch = state / "storage-scratch"
        self._root = state / "storage"
        for folder in (self._root, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self.scratch.iterdir():
            left.unlink()
        self._clock = clock
        self._index = Index(state / "storage.sqlite3")
        self._generation = self._index.last_generation()

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def buckets(self) -> list[str]:
        """Return the names of all buckets, in order."""
        return sorted(folder.name for folder in self._root.iterdir() if self.has_bucket(folder.name))

    def has_bucket(self, bucket: str) -> bool:
        """True if the bucket exists. A folder made by hand is a bucket, if its name may be one."""
        return is_bucket_name(bucket) and _is_folder(self._root / bucket)

    def check_bucket(self, bucket: str) -> None:
        """Raise a 404 unless the bucket exists."""
        if not self.has_bucket(bucket):
            raise no_such_bucket()

    def bucket(self, bucket: str) -> Json:
        """Return a bucket's times, metageneration and settings; raises a 404."""
        self.check_bucket(bucket)
        with self.lock:
            return self._index.bucket(bucket) or self.set_bucket(bucket, UNIFORM)

    def set_bucket(self, bucket: str, settings: Json) -> Json:
        """Make a bucket or change its settings, and return its record."""
        now = self._now()
        old = self._index.bucket(bucket) or {"timeCreated": now, "metageneration": 0}
        record = {
            **old,
            "updated": now,
            "metageneration": old["metageneration"] + 1,
            "settings": settings,
        }
        (self._root / bucket).mkdir(exist_ok=True)
        self._index.set_bucket(bucket, record)
        return record

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket; raises a 409 if it has an object, or its folder anything that is not an object."""
        if self.objects(bucket, ""):
            raise bucket_not_empty()
        for folder, _, _ in os.walk(self._root / bucket, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                raise bucket_not_empty() from None
        self._index.drop_bucket(bucket)

    def current(self, bucket: str, name: str) -> Version | None:
        """Return the live version of an object, None if there is none."""
        with self.lock:
            known = self._index.versions(bucket, name)
            live = next((version for version in known if self._has_file(version)), None)
            return live or self._adopted(bucket, name, known[0].file if known else name)

    def objects(self, bucket: str, prefix: str) -> dict[str, Version]:
        """Return the live versions of all objects whose names begin with `prefix`, by name."""
        known = self._index.below(bucket, prefix)
        found = {version.name: version for version in reversed(known) if self._has_file(version)}
        # The rest are files that were put there by hand, and objects that another thread just changed.
        rest = {version.name for version in known}.union(self._files(bucket, prefix)) - found.keys()
        for name in rest:
            live = self.current(bucket, name)
            if live is not None:
                found[name] = live
        return found

    def open(self, version: Version) -> BinaryIO:
        """Open the bytes of a live version. They stay readable when the object is replaced or deleted."""
        return self._path(version.bucket, version.file).open("rb")

    def put(self, bucket: str, name: str, content: Path, fields: Json) -> Version:
        """Make a file of the scratch folder the live version of an object. The move of the file commits it."""
        current = self.current(bucket, name)
        file = current.file if current else self._placed(bucket, name)
        version = self.new_version(bucket, name, file, fields)
        os.utime(content, ns=(version.mtime, version.mtime))
        # Not every file system keeps nanoseconds.
        version = replace(version, mtime=content.stat().st_mtime_ns)
        target = self._path(bucket, file)
        self._index.add(version)
        target.parent.mkdir(parents=True, exist_ok=True)
        content.replace(target)
        self._index.drop_older(version)
        return version

    def new_version(self, bucket: str, name: str, file: str, fields: Json) -> Version:
        """Return a version of a new generation, which is stored nowhere yet."""
        with self.lock:
            # Microseconds since the epoch, as Google's.
            self._generation = max(self._generation + 1, time.time_ns() // 1000)
            generation = self._generation
        now = self._now()
        defaults = {"contentType": "application/octet-stream", "storageClass": "STANDARD"}
        times = {"timeCreated": now, "updated": now}
        return Version(bucket, name, generation, file, generation * 1000, defaults | times | fields)

    def remove(self, version: Version) -> None:
        """Delete an object, and the folders that it leaves empty."""
        path = self._path(version.bucket, version.file)
        path.unlink(missing_ok=True)
        self._index.drop(version.bucket, version.name)
        for folder in path.parents[: version.file.count("/")]:
            try:
                folder.rmdir()
            except OSError:
                return

    def _adopted(self, bucket: str, name: str, file: str) -> Version | None:
        """Make a version of a file that was written by hand; None if there is no such file."""
        if file == name and not self._fits(bucket, name):
            return None
        path = self._path(bucket, file)
        mtime = _mtime(path)
        if mtime is None:
            return None
        kind = {"contentType": mimetypes.guess_type(name)[0] or "application/octet-stream"}
        version = replace(self.new_version(bucket, name, file, kind | hashes_of(path)), mtime=mtime)
        self._index.add(version)
        self._index.drop_older(version)
        return version

    def _placed(self, bucket: str, name: str) -> str:
        """Return the file for a new object: its name, or a hash if no file of that name can be there."""
        if self._fits(bucket, name):
            return name
        return f"{_RESERVED}/{hashlib.sha256(name.encode()).hexdigest()}"

    def _fits(self, bucket: str, name: str) -> bool:
        """True if an object can be the file of its own name: no folder, link or other object is in the way."""
        if not _is_plain(name):
            return False
        path = self._path(bucket, name)
        above = path.parents[: name.count("/")]
        free = not os.path.lexists(path) or _mtime(path) is not None
        return free and all(_is_folder(folder) or not os.path.lexists(folder) for folder in above)

    def _files(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the names of the files in a bucket's folder that begin with `prefix` and may be objects."""
        base = self._root / bucket
        start = prefix.rpartition("/")[0]
        if start and not self._fits(bucket, f"{start}/any"):
            return
        for folder, below, names in os.walk(base / start):
            if Path(folder) == base and _RESERVED in below:
                below.remove(_RESERVED)
            inside = Path(folder).relative_to(base)
            paths = ((inside / name).as_posix() for name in names)
            yield from (path for path in paths if path.startswith(prefix) and is_object_name(path))

    def _has_file(self, version: Version) -> bool:
        return _mtime(self._path(version.bucket, version.file)) == version.mtime

    def _path(self, bucket: str, file: str) -> Path:
        return self._root / bucket / file

    def _now(self) -> str:
        return timestamp(self._clock.now(), "milliseconds")


def _is_plain(name: str) -> bool:
    """True if an object of this name can be the file of this name, and no other file."""
    segments = name.split("/")
    return (
        "\0" not in name
        and segments[0] != _RESERVED
        and all(
            segment not in {"", ".", ".."} and len(segment.encode()) <= _MAX_SEGMENT for segment in segments
        )
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _mtime(path: Path) -> int | None:
    """Return the modification time of a regular file in nanoseconds; None for a link, a folder or nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else None
