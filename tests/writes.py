"""Finds out what was written below given folders, so that a test can prove that a VM stays in its own."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

State = tuple[int, int, int, int]


@contextlib.contextmanager
def watch_writes(
    roots: Iterable[Path], *, ignore: Collection[Path] = (), depth: int | None = None
) -> Iterator[list[Path]]:
    """Compare what lies below `roots` before and after; the list that it yields is filled at the end, sorted.

    Named are entries that appeared, went or changed (time, size, mode, identity), and folders in which something came
    or went, if only for a while. `ignore` are paths that are not looked at, nor what is below; `depth` bounds how
    deep (1: the entries of a root itself). Reading is not seen, links are not followed.
    """
    roots = list(roots)
    written: list[Path] = []
    before = _snapshot(roots, ignore, depth)
    yield written
    after = _snapshot(roots, ignore, depth)
    written += sorted(
        Path(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


def _snapshot(roots: list[Path], ignore: Collection[Path], depth: int | None) -> dict[str, State]:
    ignored = {str(path) for path in ignore}
    found: dict[str, State] = {}
    waiting = [(str(root), 0) for root in roots]
    while waiting:
        path, level = waiting.pop()
        with contextlib.suppress(OSError):  # what goes while we look has no state
            state = os.lstat(path)
            found[path] = (state.st_mtime_ns, state.st_size, state.st_mode, state.st_ino)
            if level == depth or os.path.islink(path):  # noqa: PTH114  thousands of entries: no Path objects
                continue
            with os.scandir(path) as entries:  # NotADirectoryError for a file
                waiting += [(entry.path, level + 1) for entry in entries if entry.path not in ignored]
    return found
