"""Objects and buckets as they should be: fake-gcs-server, the index and the placement of files, kept in step.

No rules of the API here (who may, and under which conditions): see objects.py and buckets.py. Whoever changes an object holds
its lock from looking at it to the end of the change.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.clock import Clock
from localcloud.service import Json
from localcloud.storage.backend import Backend
from localcloud.storage.index import Index
from localcloud.storage.locks import Locks
from localcloud.storage.names import is_bucket
from localcloud.storage.placement import RESERVED, Placement
from localcloud.storage.refusals import bucket_not_empty, no_such_bucket
from localcloud.storage.resource import EDITABLE, record, resource, timestamp

if TYPE_CHECKING:
    import urllib3

_CHUNK = 1 << 18


class Store:
    """All buckets and objects of one state directory."""

    def __init__(self, state: Path, clock: Clock) -> None:
        root, self.scratch = state / "storage", state / "storage-scratch"
        for folder in (root, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self.scratch.iterdir():
            left.unlink()
        self._clock = clock
        self._root = root
        self._index = Index(state / "storage.sqlite3")
        self._placement = Placement(root, self._index)
        self.locks = Locks()
        self._backend = Backend(root, self.scratch, state / "fake-gcs-server.log")
        self._buckets = set(self._backend.buckets())
        self._adopt_buckets()

    def close(self) -> None:
        """End fake-gcs-server and close the index."""
        self._backend.close()
        self._index.close()

    def now(self) -> str:
        """Return the present time on localcloud's clock, as Cloud Storage prints it."""
        return timestamp(self._clock.now())

    def buckets(self) -> list[str]:
        """Return the names of all buckets, in order."""
        return sorted(self._buckets)

    def has_bucket(self, bucket: str) -> bool:
        """Tell whether there is such a bucket."""
        return bucket in self._buckets

    def check_bucket(self, bucket: str) -> None:
        """Raise a 404 unless there is such a bucket."""
        if bucket not in self._buckets:
            raise no_such_bucket()

    def bucket(self, bucket: str) -> Json:
        """Return what is known of a bucket: times, metageneration and settings."""
        known = self._index.bucket(bucket)
        if known is None:
            described = self._backend.bucket(bucket) or {}
            created = described.get("timeCreated", self.now())
            known = {"timeCreated": created, "updated": created, "metageneration": 1, "settings": {}}
        return known

    def make_bucket(self, bucket: str, settings: Json) -> None:
        """Make a bucket, which must not exist."""
        self._backend.create_bucket(bucket)
        now = self.now()
        self._index.record_bucket(
            bucket, {"timeCreated": now, "updated": now, "metageneration": 1, "settings": settings}
        )
        self._buckets.add(bucket)

    def amend_bucket(self, bucket: str, settings: Json) -> None:
        """Change a bucket's settings: metageneration + 1."""
        known = self.bucket(bucket)
        changed = {"updated": self.now(), "metageneration": known["metageneration"] + 1, "settings": settings}
        self._index.record_bucket(bucket, known | changed)

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket; raises a 409 unless it is empty."""
        if self._described(bucket, ""):
            raise bucket_not_empty()
        self._buckets.discard(bucket)
        self._backend.remove_bucket(bucket)
        self._index.forget_bucket(bucket)

    def current(self, bucket: str, name: str) -> Json | None:
        """Return an object's resource, without links; None where there is none."""
        stored = self._placement.find(bucket, name)
        described = self._backend.describe(bucket, stored)
        if described is None and self._adopt(bucket, stored):
            described = self._backend.describe(bucket, stored)
        if described is None:
            return None
        return resource(bucket, name, described, self._index.object(bucket, name))

    def objects(self, bucket: str, prefix: str) -> dict[str, Json]:
        """Return the resources of all objects whose names begin with `prefix`, by name."""
        names = self._index.aliases(bucket)
        remembered = self._index.objects(bucket, prefix)
        described = self._described(bucket, prefix)
        if names and not RESERVED.startswith(prefix):
            described += self._described(bucket, RESERVED)
        found = {}
        for item in described:
            stored: str = item["name"]
            name = names.get(stored, "") if stored.startswith(RESERVED) else stored
            if name and name.startswith(prefix):
                found[name] = resource(bucket, name, item, remembered.get(name))
        return found

    def open(self, bucket: str, name: str, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        """Open an object's stored bytes; the caller closes the answer."""
        return self._backend.open(bucket, self._placement.find(bucket, name), byte_range)

    def put(self, bucket: str, name: str, size: int, content: Iterable[bytes], fields: Json) -> Json:
        """Store a new version and return its resource. `fields` may name hashes and size that are not the content's."""
        with self._placement.reserve(bucket, name) as stored:
            described = self._backend.put(bucket, stored, size, content, _attributes(fields))
            return self._record_new(bucket, name, described, fields)

    def copy(self, source: Json, bucket: str, name: str, fields: Json) -> Json:
        """Copy an object's bytes to a new version of another (or of itself) and return that one's resource."""
        origin = (source["bucket"], self._placement.find(source["bucket"], source["name"]))
        carried = {key: source[key] for key in ("componentCount", "crc32c", "md5Hash") if key in source}
        with self._placement.reserve(bucket, name) as stored:
            described = self._backend.copy(origin, (bucket, stored), _attributes(fields))
            if "md5Hash" not in carried:
                described.pop("md5Hash", None)
            return self._record_new(bucket, name, described, carried | fields)

    def compose(self, sources: Iterable[Json], bucket: str, name: str, fields: Json) -> Json:
        """Join objects to a new version and return its resource, which has no MD5 hash, as Google's."""
        sources = list(sources)
        parts = [self._placement.find(bucket, source["name"]) for source in sources]
        count = sum(int(source.get("componentCount", 1)) for source in sources)
        with self._placement.reserve(bucket, name) as stored:
            kind = fields.get("contentType", "application/octet-stream")
            described = self._backend.compose(bucket, parts, stored, kind)
            described.pop("md5Hash", None)
            return self._record_new(bucket, name, described, fields | {"componentCount": count})

    def amend(self, current: Json, fields: Json) -> Json:
        """Change what is said about a version, not its bytes: metageneration + 1."""
        bucket, name = current["bucket"], current["name"]
        kept = record(
            current["generation"], int(current["metageneration"]) + 1, fields | {"updated": self.now()}
        )
        self._index.record_object(bucket, name, kept)
        return resource(bucket, name, current, kept)

    def remove(self, current: Json) -> None:
        """Delete an object."""
        bucket, name = current["bucket"], current["name"]
        stored = self._placement.find(bucket, name)
        self._backend.remove(bucket, stored)
        self._index.forget_object(bucket, name)
        self._placement.clear(bucket, stored)

    def _record_new(self, bucket: str, name: str, described: Json, fields: Json) -> Json:
        described |= {"timeCreated": self.now(), "updated": self.now()}
        defaults = {"contentType": "application/octet-stream", "storageClass": "STANDARD"}
        hashes = {key: described[key] for key in ("crc32c", "md5Hash") if key in described}
        times = {key: described[key] for key in ("timeCreated", "updated")}
        kept = record(str(described["generation"]), 1, defaults | hashes | times | fields)
        self._index.record_object(bucket, name, kept)
        return resource(bucket, name, described, kept)

    def _described(self, bucket: str, prefix: str) -> list[Json]:
        items = self._backend.objects(bucket, prefix)
        if items is None:
            self._adopt_all(bucket)
            items = self._backend.objects(bucket, prefix)
        return list(items or ())

    def _adopt_buckets(self) -> None:
        """Make buckets of the folders that somebody has made beside them."""
        for folder in self._root.iterdir():
            if folder.is_dir() and folder.name not in self._buckets and is_bucket(folder.name):
                self._backend.create_bucket(folder.name)
                self._buckets.add(folder.name)

    def _adopt_all(self, bucket: str) -> None:
        """Make objects of the files that somebody has put into the bucket's folder; one such file spoils every listing."""
        base = self._root / bucket
        for folder, _, names in os.walk(base):
            for name in names:
                self._adopt(bucket, (Path(folder) / name).relative_to(base).as_posix())

    def _adopt(self, bucket: str, stored: str) -> bool:
        """Make an object of a file that fake-gcs-server did not write; False where there is none."""
        if self._placement.find(bucket, stored) != stored:
            return False
        path = self._placement.file(bucket, stored)
        if path.is_symlink() or not path.is_file() or self._backend.describe(bucket, stored) is not None:
            return False
        kind = mimetypes.guess_type(stored)[0] or "application/octet-stream"
        self._backend.put(bucket, stored, path.stat().st_size, _chunks(path), {"contentType": kind})
        return True


def _attributes(fields: Json) -> Json:
    """Return what fake-gcs-server is told; not the hashes, which it would check, and one may be wrong on purpose."""
    return {key: fields[key] for key in EDITABLE if key in fields}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
