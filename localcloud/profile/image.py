"""The process runner's image for this checkout."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from localcloud.engines.build_process.images import OwnImage

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder with entrypoint.py, builder/ and localcloud/."""

_PARTS = ("entrypoint.py", "builder", "function")


def digest_of(folder: Path) -> str:
    """Return "sha256:…" over the paths and contents of the files that the image runs.

    Files that Python and editors leave there do not count.
    """
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


def own_image(checkout: Path = CHECKOUT) -> OwnImage:
    """Return the image `notebook-builder`, which runs the entry point of a checkout."""
    return OwnImage(
        "notebook-builder",
        (sys.executable, str(checkout / "entrypoint.py")),
        str(checkout),
        lambda: digest_of(checkout),
    )


OWN_IMAGE = own_image()
