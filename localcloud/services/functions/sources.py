"""The source of a build's archive: an upload URL, or the archive of an earlier build."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from localcloud.core.iam import PROJECT_NUMBER
from localcloud.engines.function.source import BuildFailed
from localcloud.services.functions.state_layout import Layout
from localcloud.services.functions.uploads import Uploads

Json = dict[str, Any]


class Sources:
    """Fetches archives. Each build keeps its own, by a generation, as Google keeps it in a bucket of the project."""

    def __init__(self, layout: Layout, uploads: Uploads) -> None:
        self._layout = layout
        self._uploads = uploads

    def keep(self, name: str, source: Json, generation: int) -> None:
        """Copy a `StorageSource` for a function; raises `BuildFailed`."""
        target = self._layout.archive(name, generation)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = self._uploads.find(source["bucket"], source["object"]) or self._kept(name, source)
        if found is None:
            raise BuildFailed(
                f"failed to fetch the source gs://{source['bucket']}/{source['object']}: no such object"
            )
        shutil.copyfile(found, target)

    def _kept(self, name: str, source: Json) -> Path | None:
        generation = source.get("generation", "")
        if not generation.isdecimal() or source != kept_source(name, int(generation)):
            return None
        archive = self._layout.archive(name, int(generation))
        return archive if archive.is_file() else None


def kept_source(name: str, generation: int) -> Json:
    """Return the `StorageSource` of a function's kept archive."""
    _, _, _, location, _, short = name.split("/")
    return {
        "bucket": f"gcf-v2-sources-{PROJECT_NUMBER}-{location}",
        "object": f"{short}/function-source.zip",
        "generation": str(generation),
    }
