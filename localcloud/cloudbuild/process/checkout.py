"""The digest of a checkout: what stands for that of the image which would be made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_PARTS = ("entrypoint.py", "builder", "function")


def digest_of(folder: Path) -> str:
    """Return "sha256:…" over the paths and contents of what the image runs; what Python and editors leave there does not count."""
    hashed = hashlib.sha256()
    for path in sorted(_files(folder)):
        content = path.read_bytes()
        hashed.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        hashed.update(content)
    return f"sha256:{hashed.hexdigest()}"


def _files(folder: Path) -> Iterator[Path]:
    for part in _PARTS:
        place = folder / part
        for path in place.rglob("*") if place.is_dir() else [place]:
            inside = path.relative_to(folder).parts
            if path.is_file() and "__pycache__" not in inside and not path.name.startswith("."):
                yield path
