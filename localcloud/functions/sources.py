"""Where the archive of a build comes from: an upload URL, a bucket of the project, or what an earlier build has kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from localcloud.cloudbuild.objects import ObjectError, Objects, Place
from localcloud.functions.layout import Layout
from localcloud.functions.source import BuildFailed
from localcloud.functions.uploads import Uploads
from localcloud.iam import PROJECT_NUMBER

Json = dict[str, Any]


class Sources:
    """Fetches archives. Each build keeps its own, by a generation, as Google keeps it in a bucket of the project."""

    def __init__(self, layout: Layout, uploads: Uploads, objects: Objects) -> None:
        self._layout = layout
        self._uploads = uploads
        self._objects = objects

    def keep(self, name: str, source: Json, account: str, generation: int) -> Json:
        """Fetch a `StorageSource` for a function, as the account that builds; return where it is kept from now on.

        Raises `BuildFailed`.
        """
        target = self._layout.archive(name, generation)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = self._uploads.find(source["bucket"], source["object"]) or self._kept(name, source)
        try:
            if found is not None:
                shutil.copyfile(found, target)
            else:
                place = Place(source["bucket"], source["object"], source.get("generation", ""))
                self._objects.download(account, place, target)
        except (OSError, ObjectError) as error:
            target.unlink(missing_ok=True)
            raise BuildFailed(
                f"failed to fetch the source gs://{source['bucket']}/{source['object']}: {error}"
            ) from error
        return kept_source(name, generation)

    def _kept(self, name: str, source: Json) -> Path | None:
        generation = source.get("generation", "")
        if not generation.isdecimal() or source != kept_source(name, int(generation)):
            return None
        return self._layout.archive(name, int(generation))


def kept_source(name: str, generation: int) -> Json:
    """Return the `StorageSource` under which a function's archive is kept."""
    _, _, _, location, _, short = name.split("/")
    return {
        "bucket": f"gcf-v2-sources-{PROJECT_NUMBER}-{location}",
        "object": f"{short}/function-source.zip",
        "generation": str(generation),
    }
