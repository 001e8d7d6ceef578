"""Finds the kit again: one archive per CPython and one of uv, with an index that names each of them.

`build/kit/kit.json` names each archive that stands beside it with its SHA-256 and its size. The kit's identity, which stands
in proofs, live.json and a deployed archive's manifest, is the SHA-256 of that index. `builder.kit.build` writes it all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPYTHONS = ("cp311", "cp312", "cp313")
UV = "uv"
INDEX = "kit.json"


class KitError(Exception):
    """The kit cannot be built or found; the message says what to do."""


@dataclass(frozen=True)
class Archive:
    """One archive of the kit: its name in the index ("cp311", "uv"), its file, its SHA-256 in hex, its size in bytes."""

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
    """Return the kit in `folder`, or the built one beside the `builder` package. Raises `KitError` where it is not whole."""
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


def write_index(folder: Path) -> Kit:
    """Write the index of the archives that stand in `folder`, and return the kit. Raises `KitError` where there is none."""
    entries = {}
    for name in (*CPYTHONS, UV):
        path = folder / f"{name}.tar.gz"
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries[name] = {"sha256": digest, "size": path.stat().st_size}
    if not entries:
        message = f"{folder} holds no archive of the kit"
        raise KitError(message)
    fresh = folder / f"{INDEX}.new"
    fresh.write_text(json.dumps({"schema": 1, "archives": entries}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / INDEX)
    return load(folder)
