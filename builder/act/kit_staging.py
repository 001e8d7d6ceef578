"""Puts the kit's archives into Cloud Storage, each when a VM or a job first needs it. An archive's name there is its hash."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from builder.kit import CPYTHONS, UV, Archive, Kit
from builder.model import GcsLocation, JsonObject
from builder.ports import ObjectStore


class KitStaging:
    """The kit's archives in one run's location. May be used from several threads."""

    def __init__(self, store: ObjectStore, location: GcsLocation, kit: Kit) -> None:
        self._store = store
        self.sha256 = kit.sha256
        self._archives = kit.archives
        self._names = {
            name: location.object("kits", f"{archive.sha256}.tar.gz")
            for name, archive in kit.archives.items()
        }
        self._locks = {name: threading.Lock() for name in kit.archives}
        self._standing: set[str] = set()

    @property
    def described(self) -> Mapping[str, JsonObject]:
        """Every archive's object and hash, by its name in the index: what a VM needs to fetch its own."""
        return {
            name: {"object": self._names[name], "sha256": archive.sha256}
            for name, archive in self._archives.items()
        }

    def supply_cpython(self, wanted: object) -> None:
        """Upload the archive of the CPython that a VM asks for; does nothing where the kit has none of that name."""
        if wanted in CPYTHONS and wanted in self._archives:
            self._supply(str(wanted))

    def supply_uv(self) -> None:
        """Upload the archive of uv."""
        self._supply(UV)

    def _supply(self, name: str) -> None:
        """Upload an archive unless the bucket has all of it. Each archive is uploaded at most once per run."""
        with self._locks[name]:
            if name not in self._standing:
                self._upload(self._archives[name])
                self._standing.add(name)

    def _upload(self, archive: Archive) -> None:
        target = self._names[archive.name]
        standing = self._store.stat(target)
        if standing is None:
            standing = self._store.create(
                target, archive.path, content_type="application/gzip"
            ) or self._store.stat(target)
        if standing is None or standing.size != archive.size:
            # Its name is its hash, so whatever else stands there is a broken upload, of no use to anybody.
            self._store.replace(target, archive.path.read_bytes(), content_type="application/gzip")
