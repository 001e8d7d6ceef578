"""The builds, each in a directory of its own: build.json, log.txt, and its worker's files while it runs."""

from __future__ import annotations

import copy
import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.core.times import timestamp
from localcloud.services.cloudbuild.names import FINISHED
from localcloud.services.cloudbuild.problem import Json
from localcloud.services.cloudbuild.state_log import BuildLog
from localcloud.services.cloudbuild.views import location_of

ENDED_BY_US = "localcloud ended before the build did"
"""The detail of an INTERNAL_ERROR of a build that was running when localcloud ended."""


class Record:
    """One build: its JSON as the API shows it, which is written to disk with every change, and its log."""

    def __init__(self, folder: Path, build: Json) -> None:
        self.id: str = build["id"]
        self.location = location_of(build)
        self.folder = folder
        self._lock = threading.Lock()
        self._build = build
        folder.mkdir(parents=True, exist_ok=True)
        self.log = BuildLog(folder / "log.txt", complete=build["status"] in FINISHED)
        self._save()

    @property
    def worker(self) -> Path:
        """The runner's directory; it exists only while the build runs."""
        return self.folder / "worker"

    @property
    def finished(self) -> bool:
        """True if the build's status is final."""
        with self._lock:
            return self._build["status"] in FINISHED

    def view(self) -> Json:
        """Return the build as it is now."""
        with self._lock:
            return copy.deepcopy(self._build)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set top-level fields."""
        with self._lock:
            self._build |= copy.deepcopy(dict(changes))
            self._save()

    def _save(self) -> None:
        scratch = self.folder / "build.json.new"
        scratch.write_text(json.dumps(self._build, indent=2) + "\n")
        scratch.replace(self.folder / "build.json")


class Builds:
    """All builds below a directory; those that an earlier localcloud left unfinished are ended at `now`."""

    def __init__(self, folder: Path, now: float) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        kept = [json.loads(file.read_bytes()) for file in folder.glob("*/build.json")]
        kept.sort(key=lambda build: str(build["createTime"]))
        self._records = {build["id"]: self._restored(build, now) for build in kept}

    def add(self, build: Json) -> Record:
        """Record a new build."""
        record = Record(self._folder / build["id"], build)
        with self._lock:
            self._records[record.id] = record
        return record

    def find(self, build_id: str, location: str | None = None) -> Record | None:
        """Return a build by its id, if it is in the location (None: any)."""
        with self._lock:
            record = self._records.get(build_id)
        return record if record is not None and location in {None, record.location} else None

    def views(self, location: str | None = None) -> list[Json]:
        """Return the builds of a location (None: of all), newest first."""
        with self._lock:
            records = list(reversed(self._records.values()))
        return [record.view() for record in records if location in {None, record.location}]

    def _restored(self, build: Json, now: float) -> Record:
        folder = self._folder / build["id"]
        shutil.rmtree(folder / "worker", ignore_errors=True)
        if build["status"] not in FINISHED:
            build |= {
                "status": "INTERNAL_ERROR",
                "statusDetail": ENDED_BY_US,
                "finishTime": timestamp(now),
            }
        return Record(folder, build)
