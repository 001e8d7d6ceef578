"""Where an object's bytes lie: at a file of the object's own name, unless the file system cannot have that.

Object `x` beside `x/y` cannot both be files of their names; nor can a placeholder `folder/`, or a name of nearly 255 bytes.
Such an object (of two that collide, the later) lies in its bucket's reserved folder `.localcloud/`, by a hash, until it is
deleted.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from localcloud.storage.index import Index

RESERVED = ".localcloud/"
# fake-gcs-server writes to a temporary file first, whose name is the object's last segment and up to 21 bytes more.
_LONGEST_FILE = 255 - 21
# fake-gcs-server's own files, where the file system has no extended attributes.
_SIDECAR = ".metadata"


class Placement:
    """Stored names by bucket and object name. Safe to use from several threads."""

    def __init__(self, root: Path, index: Index) -> None:
        self._root = root
        self._index = index
        self._sidecars = not _has_attributes(root)
        self._lock = threading.Lock()
        # Files that are about to be written, with how many requests write each.
        self._coming: Counter[tuple[str, str]] = Counter()

    def find(self, bucket: str, name: str) -> str:
        """Return the stored name of an object, whether it exists or not."""
        if self._expressible(name):
            return self._index.alias(bucket, name) or name
        return _hashed(name)

    def file(self, bucket: str, stored: str) -> Path:
        """Return the file of a stored name."""
        return self._root / bucket / stored

    @contextmanager
    def reserve(self, bucket: str, name: str) -> Iterator[str]:
        """Give the stored name to write an object to, and keep it possible until the block ends."""
        with self._lock:
            stored = self.find(bucket, name)
            if stored == name and self._blocked(bucket, name):
                stored = _hashed(name)
            if stored != name:
                self._index.record_alias(bucket, name, stored)
            self._coming[bucket, stored] += 1
        try:
            yield stored
        finally:
            with self._lock:
                self._coming[bucket, stored] -= 1
                if not self._coming[bucket, stored]:
                    del self._coming[bucket, stored]

    def clear(self, bucket: str, stored: str) -> None:
        """Remove the folders that a deleted file leaves empty, so that they block no object of their name."""
        with self._lock:
            for parent in self.file(bucket, stored).parents:
                if parent == self._root / bucket or self._expected(bucket, parent):
                    return
                try:
                    parent.rmdir()
                except OSError:
                    return

    def _expressible(self, name: str) -> bool:
        reserved = name == RESERVED.rstrip("/") or name.startswith(RESERVED)
        too_long = len(name.rpartition("/")[2].encode()) > _LONGEST_FILE
        sidecar = self._sidecars and name.endswith(_SIDECAR)
        return not (reserved or too_long or sidecar or name.endswith("/"))

    def _blocked(self, bucket: str, name: str) -> bool:
        """Tell whether a file of this name would stand in the way of another, now or as soon as that is written."""
        path = self.file(bucket, name)
        above = path.parents[: name.count("/")]
        if path.is_dir() or any(os.path.lexists(parent) and not parent.is_dir() for parent in above):
            return True
        return any(
            name.startswith(f"{other}/") or other.startswith(f"{name}/")
            for place, other in self._coming
            if place == bucket
        )

    def _expected(self, bucket: str, folder: Path) -> bool:
        return any(
            self.file(place, stored).is_relative_to(folder)
            for place, stored in self._coming
            if place == bucket
        )


def _hashed(name: str) -> str:
    return RESERVED + hashlib.sha256(name.encode()).hexdigest()


def _has_attributes(root: Path) -> bool:
    """Tell whether files below `root` can carry extended attributes; fake-gcs-server asks the same way."""
    with suppress(OSError):
        os.listxattr(root)
        return True
    return False
