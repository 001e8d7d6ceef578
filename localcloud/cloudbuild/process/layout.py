"""Which directory of the host stands where in a step, and what must stay visible under it. Pure, but for symbolic links."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.cloudbuild.process.images import CHECKOUT

OWN = ("/workspace", "/builder", "/tmp")  # noqa: S108  the step's, not ours
"""Top-level folders that a step does not share with the host."""


@dataclass(frozen=True)
class Layout:
    """What the launcher mounts, in order, as pairs of a directory of the host and a path in the step.

    `mounts` are the build's, `kept` are folders of the host that would be hidden; `conflict`: why it cannot be done.
    """

    mounts: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]
    conflict: str | None


def needed() -> list[str]:
    """Folders without which our own programs do not run: the interpreter's and this checkout."""
    paths = [sys.prefix, sys.base_prefix, str(CHECKOUT)]
    return paths + [os.path.realpath(path) for path in paths]


def layout(own: Iterable[tuple[Path, str]], keep: Sequence[str]) -> Layout:
    """Put the build's own directories in order, outer ones first, and bring back what they would hide of `keep`."""
    mounts = sorted(((str(host), inside(path)) for host, path in own), key=lambda mount: mount[1].count("/"))
    targets = [path for _, path in mounts]
    hidden = [path for path in sorted(set(keep)) if any(_is_below(path, over) for over in (*OWN, *targets))]
    clashes = [path for path in hidden if any(_is_below(target, path) for target in targets)]
    conflict = f"{clashes[0]} of this machine is needed and is also a path of the step" if clashes else None
    return Layout(tuple(mounts), tuple((os.path.realpath(path), path) for path in hidden), conflict)


def inside(path: str) -> str:
    """Where a path of a step really is: links of the host count, below the folders that are the step's own none do."""
    path = os.path.normpath(path)
    return path if any(_is_below(path, own) for own in OWN) else os.path.realpath(path)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
