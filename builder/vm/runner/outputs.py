"""What the notebook left in `outputs/`: which files are uploaded under which names, and which are not and why."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

MAX_OBJECT_NAME = 900
MAX_SKIPPED = 1000


@dataclass(frozen=True)
class Output:
    """A file to upload; `name` is relative to the attempt's prefix."""

    name: str
    path: Path


@dataclass(frozen=True)
class Skipped:
    """A file that stays behind. `path` is printable."""

    path: str
    why: str


def scan(folder: Path) -> tuple[list[Output], list[Skipped]]:
    """Walk `folder`, whose files are to be named `outputs/…`, without following links to folders.

    A notebook may have put something else in the folder's place; a folder that is gone holds nothing.
    """
    found: list[Output] = []
    skipped: list[Skipped] = []
    if folder.is_symlink():
        return found, [Skipped("outputs", "symbolic link in place of the folder")]
    if folder.exists() and not folder.is_dir():
        return found, [Skipped("outputs", "not a folder")]
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for entry in sorted([*files, *(f for f in folders if Path(parent, f).is_symlink())]):
            path = Path(parent, entry)
            name = "outputs/" + path.relative_to(folder).as_posix()
            why = _obstacle(path, name, root)
            if why:
                skipped.append(Skipped(_printable(name), why))
            else:
                found.append(Output(name, path))
    return found, skipped[:MAX_SKIPPED]


def _obstacle(path: Path, name: str, root: Path) -> str:
    """Say why a file cannot be uploaded; empty where it can."""
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
    """Say why a name cannot be an object's; empty where it can."""
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
