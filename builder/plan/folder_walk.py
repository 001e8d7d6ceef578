"""Walks folders without the files of version control, caches and virtual environments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

CHECKPOINTS = ".ipynb_checkpoints"
_NEVER = frozenset({".git", ".hg", ".svn", ".bzr", "__pycache__", CHECKPOINTS})
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


def walk(folder: Path, *, enter: Callable[[str], bool] = lambda _name: True) -> Iterator[str]:
    """Yield the paths below `folder`, relative to it, of everything but folders. Does not follow symbolic links.

    `enter` returns True for the name of a folder to walk into. Raises OSError if a folder cannot be read.
    """
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(folder / inside) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{inside}{entry.name}"
            if entry.name in _NEVER:
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield path
            elif enter(entry.name) and not _is_environment(entry.path):
                pending.append(path + "/")


def _is_environment(folder: str) -> bool:
    return any(os.path.lexists(os.path.join(folder, mark)) for mark in _ENVIRONMENT_MARKS)  # noqa: PTH118  (hot)
