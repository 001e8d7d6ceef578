"""Uploads the kit's archives, each when a VM or a job first needs it. An object's name is its hash."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from builder.kit import CPYTHONS, UV, Archive, Kit
from builder.model import GcsLocation
from builder.ports import ObjectStore
from builder.vm.protocol import StagedObject


class KitStaging:
    """The kit's archives in one run's location. Used from several threads."""

    def __init__(self, store: ObjectStore, location: GcsLocation, kit: Kit) -> None:
        self._store = store
        self.sha256 = kit.sha256
        self._archives = kit.archives
        self._names = {
            name: location.object("kits", f"{archive.sha256}.tar.gz")
            for name, archive in kit.archives.items()
        }
        self._locks = {name: threading.Lock() for name in kit.archives}
        self._uploaded: set[str] = set()

    @property
    def staged(self) -> Mapping[str, StagedObject]:
        """Every archive, by its name in the index, as a VM needs it to fetch its own."""
        return {
            name: StagedObject(self._names[name], archive.sha256) for name, archive in self._archives.items()
        }

    def supply_cpython(self, wanted: str) -> None:
        """Upload the archive of the CPython that a VM requests; do nothing if the kit has none."""
        if wanted in CPYTHONS and wanted in self._archives:
            self._supply(wanted)

    def supply_uv(self) -> None:
        """Upload the archive of uv."""
        self._supply(UV)

    def _supply(self, name: str) -> None:
        """Upload an archive unless the bucket has it complete. Each archive is uploaded at most once per run."""
        with self._locks[name]:
            if name not in self._uploaded:
                self._upload(self._archives[name])
                self._uploaded.add(name)

    def _upload(self, archive: Archive) -> None:
        target = self._names[archive.name]
        existing = self._store.stat(target)
        if existing is None:
            existing = self._store.create(
                target, archive.path, content_type="application/gzip"
            ) or self._store.stat(target)
        if existing is None or existing.size != archive.size:
            # Its name is its hash, so an object of another size is a broken upload.
            self._store.replace(target, archive.path.read_bytes(), content_type="application/gzip")
