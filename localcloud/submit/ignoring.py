"""Which files of a folder are left out of the source: .gcloudignore, in gitignore's syntax, as `gcloud topic gcloudignore` has it."""

from __future__ import annotations

import re
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gcloudignore"
# What gcloud goes by where there is no .gcloudignore but something of git's.
_DEFAULT = (IGNORE_FILE, ".git", ".gitignore")
_INCLUDE = re.compile(r"#\s*!include:(.*)")


class BadIgnoreFileError(Exception):
    """A file of ignore rules that cannot be used; str() says which and why."""


class IgnoreRules:
    """The rules of one folder; ask about every folder on the way before what is in it."""

    def __init__(self, patterns: list[str]) -> None:
        self._spec = GitIgnoreSpec.from_lines(patterns)

    def ignored(self, path: str, *, folder: bool) -> bool:
        """Say whether a path (from the folder's root, with "/") is left out, given that what it is in is not."""
        return bool(self._spec.check_file(f"{path}/" if folder else path).include)


def rules(root: Path) -> IgnoreRules:
    """Return the rules of a folder; raises `BadIgnoreFileError`."""
    if (root / IGNORE_FILE).exists():
        return IgnoreRules(_patterns(root, IGNORE_FILE, include=True))
    if not any((root / name).exists() for name in (".git", ".gitignore")):
        return IgnoreRules([])
    own = _patterns(root, ".gitignore", include=False) if (root / ".gitignore").exists() else []
    return IgnoreRules([*_DEFAULT, *own])


def _patterns(root: Path, name: str, *, include: bool) -> list[str]:
    """Return the patterns of a file; what it includes stands in its place, one level deep as with gcloud."""
    try:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadIgnoreFileError(f"{root / name} cannot be read: {error}") from error
    result: list[str] = []
    for line in lines:
        found = _INCLUDE.match(line)
        if not found:
            result.append(line)
        elif "/" in found[1]:
            words = f"only files of the same folder can be included, not {found[1]}"
            raise BadIgnoreFileError(f"{root / name}: {words}")
        elif include:
            result += _patterns(root, found[1], include=False)
    return result
