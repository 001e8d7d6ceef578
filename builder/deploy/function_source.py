"""The Cloud Function's source archive: function/ at its root, builder/ beside it.

The same version gives the same bytes on any machine. Nothing in it comes from a repository or its options, so the
function changes only with the builder's version. The archive is not compressed, because compressors differ from
machine to machine, and its hash decides if the function is updated.
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
_KINDS = frozenset({".py", ".css", ".ipynb", ".j2", ".sh"})  # code, and the data that it reads; no caches
# Modules that only build the kit. The image does not have them either.
BUILD_ONLY = frozenset({"builder/kit/build.py", "builder/kit/wheels.py"})
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_UNIX, _MODE = 3, 0o100644


@dataclass(frozen=True)
class FunctionSource:
    """The archive's bytes and their SHA-256 in hex."""

    zip: bytes
    sha256: str


def function_source(root: Path = _ROOT) -> FunctionSource:
    """Pack the function's source; `root` holds builder/ and function/. Raises OSError if a file is missing."""
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
        name = path.relative_to(root).as_posix()
        if path.suffix in _KINDS and path.is_file() and name not in BUILD_ONLY:
            yield name, path
