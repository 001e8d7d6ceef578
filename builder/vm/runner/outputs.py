"""Scans `outputs/`: which files are uploaded under which names, and which are not, with the reason."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from builder.vm.protocol import Skipped

MAX_OBJECT_NAME = 900
MAX_SKIPPED = 1000
LISTED_BYTES = 150  # of one output in the evidence, besides its name: generation, size, checksum
# Folders that are uploaded, or that tools fill for themselves.
NOT_MEANT = {"outputs", "__pycache__", ".ipynb_checkpoints", ".git", ".cache", ".pytest_cache"}


@dataclass(frozen=True)
class Output:
    """A file to upload; `name` is relative to the attempt's prefix."""

    name: str
    path: Path


def scan(folder: Path) -> tuple[list[Output], list[Skipped]]:
    """Return the files of `folder` to upload as `outputs/…`, and the skipped ones. Links to folders are not followed.

    A notebook can have replaced the folder by something else. A missing folder has no files.
    """
    found: list[Output] = []
    skipped: list[Skipped] = []
    if folder.is_symlink():
        return found, [Skipped("outputs", "symbolic link in place of the folder")]
    if not folder.is_dir():
        return found, [Skipped("outputs", "not a folder")] if folder.exists() else []
    root = folder.resolve()

    def skip(error: OSError) -> None:
        name = "outputs/" + Path(error.filename).relative_to(folder).as_posix()
        skipped.append(Skipped(_printable(name), f"cannot be read: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=skip):
        folders.sort()
        # Unlike Path.is_symlink, os.path.islink raises nothing for a path that is too long.
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        for entry in sorted([*files, *links]):
            path = Path(parent, entry)
            name = "outputs/" + path.relative_to(folder).as_posix()
            why = _obstacle(path, name, root)
            if why:
                skipped.append(Skipped(_printable(name), why))
            else:
                found.append(Output(name, path))
    return found, skipped[:MAX_SKIPPED]


def listed_bytes(found: Collection[Output]) -> int:
    """Return about how many bytes of the evidence the outputs will take."""
    return sum(len(json.dumps(output.name)) + LISTED_BYTES for output in found)


def beside(tree: Path, staged: Collection[Path]) -> list[str]:
    """Return the files that the run left outside `outputs/`, by their names in the workspace: nothing keeps them."""
    found: list[str] = []
    for parent, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name not in NOT_MEANT)
        paths = (Path(parent, name) for name in sorted(files))
        found += [_printable(path.relative_to(tree).as_posix()) for path in paths if path not in staged]
        if len(found) > MAX_SKIPPED:
            break
    return found


def _obstacle(path: Path, name: str, root: Path) -> str:
    """Return why a file cannot be uploaded, or ""."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
            return "symbolic link out of outputs/"
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return "symbolic link to a folder"
    return _odd_name(name) if stat.S_ISREG(mode) else "not a regular file"


def _odd_name(name: str) -> str:
    """Return why a name cannot be an object's name, or ""."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "control character in its name"
    return "" if len(encoded) <= MAX_OBJECT_NAME else f"its name is longer than {MAX_OBJECT_NAME} bytes"


def _printable(name: str) -> str:
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if unicodedata.category(c) != "Cc" else f"\\x{ord(c):02x}" for c in text)[
        :MAX_OBJECT_NAME
    ]
