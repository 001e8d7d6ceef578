"""The folders of the host that a step's own folders would hide, and that it needs. Pure, but for symbolic links."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

OWN = ("/workspace", "/builder", "/tmp")  # noqa: S108  in the step
"""Top-level folders that a step does not share with the host."""


@dataclass(frozen=True)
class Layout:
    """The host's folders to show again, as pairs of a folder of the host and a path in the step.

    `conflict` is the reason if that is impossible.
    """

    kept: tuple[tuple[str, str], ...]
    conflict: str | None


def needed(own: str) -> list[str]:
    """Return the folders that the own image needs: the interpreter's, and its folder `own`."""
    paths = [sys.prefix, sys.base_prefix, own]
    return paths + [os.path.realpath(path) for path in paths]


def layout(targets: Sequence[str], keep: Sequence[str]) -> Layout:
    """Return the folders of `keep` that a step does not see, if the build's directories are at the paths `targets`."""
    hidden = [path for path in sorted(set(keep)) if any(_is_below(path, over) for over in OWN)]
    clashes = [path for path in hidden if any(_is_below(target, path) for target in targets)]
    conflict = f"{clashes[0]} of this machine is needed and is also a path of the step" if clashes else None
    return Layout(tuple((os.path.realpath(path), path) for path in hidden), conflict)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
