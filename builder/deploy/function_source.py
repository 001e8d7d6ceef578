"""The Cloud Function's source archive: function/ at its root, builder/ beside it. The same bytes for the same version, anywhere.

Nothing in it comes from a repo or its options, so that the function changes with the builder's version alone. It is not compressed:
compressors differ from machine to machine, and its hash decides whether the function is deployed anew.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]  # of the checkout, or of the image
_FUNCTION = ("main.py", "requirements.txt")
_KINDS = frozenset({".py", ".css", ".sh"})  # code, and the data that it reads; no caches
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_UNIX, _MODE = 3, 0o100644


@dataclass(frozen=True)
class FunctionSource:
    """The archive's bytes and their SHA-256 in hex."""

    zip: bytes
    sha256: str


def function_source(root: Path = _ROOT) -> FunctionSource:
    """Pack the function's source; `root` holds builder/ and function/. Raises OSError where a file is missing."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(_files(root)):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, path.read_bytes())
    packed = target.getvalue()
    return FunctionSource(packed, hashlib.sha256(packed).hexdigest())


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    yield from ((name, root / "function" / name) for name in _FUNCTION)
    for path in (root / "builder").rglob("*"):
        if path.suffix in _KINDS and path.is_file():
            yield path.relative_to(root).as_posix(), path
