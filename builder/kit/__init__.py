"""Loads the built kit: one archive per CPython and one of uv, with an index that names each of them.

The index `build/kit/kit.json` has the SHA-256 and the size of each archive beside it. The SHA-256 of the index
identifies the kit in proofs, in live.json and in the manifest of a deployed archive. `builder.kit.build` builds
archives and index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPYTHONS = ("cp311", "cp312", "cp313", "cp314", "cp315")
UV = "uv"
INDEX = "kit.json"


class KitError(Exception):
    """The kit cannot be built or found; the message says what to do."""


@dataclass(frozen=True)
class Archive:
    """One archive of the kit: its name ("cp311", "uv"), its file, its SHA-256 in hex, its size in bytes."""

    name: str
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Kit:
    """A built kit: the SHA-256 of its index, and its archives by name."""

    sha256: str
    archives: Mapping[str, Archive]


def load(folder: Path | None = None) -> Kit:
    """Return the kit in `folder`, by default build/kit. Raises `KitError` if it is missing or incomplete."""
    folder = folder or ROOT / "build" / "kit"
    try:
        text = (folder / INDEX).read_bytes()
        archives = {
            name: Archive(name, folder / f"{name}.tar.gz", str(entry["sha256"]), int(entry["size"]))
            for name, entry in json.loads(text)["archives"].items()
        }
        torn = [archive.path for archive in archives.values() if archive.path.stat().st_size != archive.size]
    except FileNotFoundError as error:
        message = f"the runner kit is not built ({error.filename} is missing): run `make venv`"
        raise KitError(message) from error
    if torn:
        message = f"the runner kit is not whole ({torn[0]} differs from its index): run `make venv`"
        raise KitError(message)
    return Kit(hashlib.sha256(text).hexdigest(), archives)
