"""The files of a folder that are left out of the source: .gcloudignore, as gcloud reads it.

The syntax is gitignore's, with three differences that gcloud has: a pattern with a slash inside, such as `docs/*.txt`,
is looked for at any depth; one that begins with `*` alone is looked for at the root only; and `folder/**` is the folder
too.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IGNORE_FILE = ".gcloudignore"
# gcloud's rules for a folder without a .gcloudignore but with git's files.
_DEFAULT = (IGNORE_FILE, ".git", ".gitignore")
_INCLUDE = re.compile(r"#\s*!include:(.*)")
_ESCAPED = re.compile(r"\\(.)")


class BadIgnoreFileError(Exception):
    """An unusable file of ignore rules; str() says which and why."""


@dataclass(frozen=True)
class _Pattern:
    parts: tuple[str, ...]  # from the root; "**" stands for any number of folders
    ignores: bool
    folders_only: bool


class IgnoreRules:
    """The rules of one folder. Check each folder before its contents."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = [pattern for line in lines if (pattern := _pattern(line))]

    def ignored(self, path: str, *, folder: bool) -> bool:
        """True if a path (from the folder's root, with "/") is left out, given that its folder is not."""
        verdict, parts = False, tuple(path.split("/"))
        for pattern in self._patterns:
            if (folder or not pattern.folders_only) and _matches(pattern.parts, parts):
                verdict = pattern.ignores
        return verdict


def rules(root: Path) -> IgnoreRules:
    """Return the rules of a folder; raises `BadIgnoreFileError`."""
    if (root / IGNORE_FILE).exists():
        return IgnoreRules(_lines(root, IGNORE_FILE, include=True))
    if not any((root / name).exists() for name in (".git", ".gitignore")):
        return IgnoreRules([])
    own = _lines(root, ".gitignore", include=False) if (root / ".gitignore").exists() else []
    return IgnoreRules([*_DEFAULT, *own])


def _lines(root: Path, name: str, *, include: bool) -> list[str]:
    """Return the lines of a file, with included files inserted, one level deep as in gcloud."""
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
            result += _lines(root, found[1], include=False)
    return result


def _pattern(line: str) -> _Pattern | None:
    """Return the pattern in a line; None for an empty one, a comment, or one that ends in a lone backslash."""
    if line.startswith("#"):
        return None
    text = line.removeprefix("!")
    folders_only = text.endswith("/")
    text = _without_spaces(text.removesuffix("/"))
    if not text or (len(text) - len(text.rstrip("\\"))) % 2:
        return None
    parts = _ESCAPED.sub(r"\1", text).split("/")
    if parts[0] not in {"", "*"} and "**" not in parts:
        parts = ["**", *parts]
    rooted = tuple(parts[1:] if parts[0] == "" else parts)
    return _Pattern(rooted, ignores=not line.startswith("!"), folders_only=folders_only)


def _without_spaces(text: str) -> str:
    """Return the text without trailing spaces, except one that a backslash escapes."""
    bare = text.rstrip(" ")
    return bare + " " if bare.endswith("\\") and bare != text else bare


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """True if the path fits. On a mismatch, only the last "**" takes one more folder."""
    at, place = 0, 0
    resume: tuple[int, int] | None = None
    while place < len(path):
        if at < len(pattern) and pattern[at] == "**":
            at += 1
            resume = (at, place)
        elif at < len(pattern) and fnmatch.fnmatchcase(path[place], pattern[at]):
            at, place = at + 1, place + 1
        elif resume is not None:
            resume = at, place = resume[0], resume[1] + 1
        else:
            return False
    return all(part == "**" for part in pattern[at:])
