"""Which notebooks a run means, and which files are staged with each."""

from __future__ import annotations

import difflib
import functools
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from builder.errors import BadInput, Problem
from builder.plan.folder_walk import walk
from builder.plan.globs import is_glob, matches
from builder.plan.notebooks import MAX_NOTEBOOK_BYTES
from builder.plan.packing import Archive, StagedFile, pack
from builder.plan.staged_files import Collected, Collector
from builder.plan.tracked import IndexUnreadable, Tracked, find_tracked

__all__ = ["Archive", "Collected", "Selection", "StagedFile", "Workspace", "pack"]

OUTPUTS = "outputs"
_MOST_COMPARED = 20  # patterns without a match that are compared with every notebook's name
_SUFFIX = ".ipynb"


class Entry(Protocol):
    """What `select` needs of an entry: its path or glob, and where that was written."""

    @property
    def pattern(self) -> str: ...
    @property
    def origin(self) -> str: ...


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class Selection(Generic[E]):
    """Notebooks by repo-relative path, sorted, each with the entry that names it; and the patterns that went wrong."""

    notebooks: tuple[tuple[str, E], ...]
    problems: tuple[Problem, ...]


class _Refused(Exception):
    """Why a pattern names no notebook that can be run."""


class Workspace:
    """The files a run may use: the current folder, and the repository around it where there is one.

    Patterns count from `root`. Every path handed out counts from `top`, the repository's root (`root` itself where
    there is no repository), since the staged tree has the repository's paths.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._compared = 0

    @functools.cached_property
    def _tracked(self) -> Tracked | None:
        return find_tracked(self.root)

    @functools.cached_property
    def top(self) -> Path:
        """The folder that paths count from. Raises BadInput if git's index cannot be read."""
        try:
            return self._tracked.top if self._tracked else self.root
        except IndexUnreadable as error:
            raise BadInput([Problem("git", "", str(error))]) from error

    def local_path(self, path: str) -> str:
        """A repo-relative path as counted from the current folder."""
        return Path(os.path.relpath(self.top / path, self.root)).as_posix()

    def repository_path(self, path: str) -> str:
        """A path that counts from the current folder, as counted from the repository's root."""
        return Path(os.path.relpath(self.root / path, self.top)).as_posix()

    def tracks(self, folder: str) -> bool:
        """Whether git tracks anything in this folder at the repository's root."""
        tracked = self._tracked
        return tracked is not None and any(path.startswith(f"{folder}/") for path in tracked.files)

    def text(self, path: str) -> str:
        """The text of a repo-relative file. Raises OSError, or ValueError where it is no UTF-8."""
        return (self.top / path).read_text(encoding="utf-8")

    def select(self, entries: Iterable[E]) -> Selection[E]:
        """The notebooks that the entries mean.

        A glob finds no hidden folder, `.ipynb_checkpoints`, `outputs/` or virtual environment. A notebook found twice
        goes to the entry that names it outright, else to the first that finds it.
        """
        named: dict[str, E] = {}
        globbed: dict[str, E] = {}
        problems: list[Problem] = []
        for entry in entries:
            try:
                found = self._named(entry.pattern)
                for path in found or self._globbed(entry.pattern):
                    (named if found else globbed).setdefault(path, entry)
            except _Refused as error:
                problems.append(Problem(entry.origin, entry.pattern, str(error)))
        return Selection(tuple(sorted((globbed | named).items())), tuple(problems))

    def read(self, path: str) -> bytes:
        """The bytes of a selected notebook, one more than `read_notebook` takes at most. Raises BadInput."""
        try:
            with (self.top / path).open("rb") as file:
                return file.read(MAX_NOTEBOOK_BYTES + 1)
        except OSError as error:
            raise BadInput([Problem(path, "", f"cannot be read: {error.strerror}")]) from error

    def files_for(
        self, path: str, include: Sequence[str] | None = None, also: Sequence[str] = ()
    ) -> Collected:
        """The files to stage with a selected notebook: its folder as git tracks it, what the globs add, and the paths in `also`.

        Where git tracks nothing here, all of the folder. `include` counts from the repository's root and finds
        untracked files too. The notebook itself is always among them, `outputs/` beside it never, even if committed.
        """
        return self._collector.collect(path, include or (), also)

    @functools.cached_property
    def _collector(self) -> Collector:
        return Collector(self.top, self._tracked)

    def _named(self, pattern: str) -> list[str]:
        """The notebook that the pattern names outright; nothing if the pattern is a glob. Raises _Refused."""
        local = _normalized(pattern)
        file = self.root / local
        if not os.path.lexists(file):
            if is_glob(local):
                return []
            raise _Refused(self._no_match(local))
        if file.is_dir():
            raise _Refused(f"is a folder; for the notebooks in it write {local}/*{_SUFFIX}")
        return [self._checked(file)]

    def _globbed(self, pattern: str) -> list[str]:
        local = _normalized(pattern)
        found = [self._checked(self.root / path) for path in self._notebooks if matches(local, _nfc(path))]
        if not found:
            raise _Refused(self._no_match(local))
        return found

    @functools.cached_property
    def _notebooks(self) -> list[str]:
        """Every notebook that a glob may find, relative to the current folder."""
        found = walk(self.root, enter=lambda name: name != OUTPUTS and not name.startswith("."))
        return sorted(path for path in found if path.endswith(_SUFFIX))

    @functools.cached_property
    def _known(self) -> dict[str, str]:
        """The notebooks by their names as a pattern spells them, without the ending."""
        return {_nfc(path).removesuffix(_SUFFIX): path for path in self._notebooks}

    def _no_match(self, local: str) -> str:
        known = self._known
        wanted = local.removesuffix(_SUFFIX)
        if wanted in known:
            return _NOT_NFC
        near = self._near(wanted)
        if near:
            named = " or ".join(known[path] for path in near)
            return f"matches no notebook in the workspace; did you mean {named}?"
        count = f"are {len(known)} notebooks" if known else "is no notebook"
        return f"matches no notebook in the workspace; there {count} here"

    def _near(self, wanted: str) -> list[str]:
        """Up to three known names that are similar, or in another folder; none once enough patterns had no match."""
        self._compared += 1
        if self._compared > _MOST_COMPARED:
            return []
        near = difflib.get_close_matches(wanted, self._known, n=3)
        base = posixpath.basename(wanted)
        return near or [path for path in self._known if posixpath.basename(path) == base][:3]

    def _checked(self, file: Path) -> str:
        """The repo-relative path of a notebook that may be run. Raises _Refused."""
        real_folder = file.parent.resolve()
        real = real_folder / file.name
        try:
            path = real.relative_to(self.top).as_posix()
            target = real.resolve(strict=True)
            target.relative_to(self.top)
        except ValueError as error:
            raise _Refused("leads out of the workspace") from error
        except (OSError, RuntimeError) as error:
            raise _Refused("is a symbolic link that leads nowhere") from error
        if not path.endswith(_SUFFIX):
            raise _Refused(f"is no notebook; expected a name that ends in {_SUFFIX}")
        if not target.is_file():
            raise _Refused("is no regular file")
        if _nfc(path) != path:
            raise _Refused(_NOT_NFC)
        if _has_control(path):
            raise _Refused("has a control character in its name; rename it")
        return path


_NOT_NFC = (
    "has a name with decomposed accents (not Unicode NFC); rename it, since no two systems spell it alike"
)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _normalized(pattern: str) -> str:
    """The pattern in its plainest form. Raises _Refused for one that could lead anywhere else."""
    if not pattern.strip():
        raise _Refused("is empty; expected a path or a glob")
    if _has_control(pattern):
        raise _Refused("has a control character, or one that is not UTF-8")
    if pattern.startswith(("/", "~")):
        raise _Refused("is absolute; expected a path from the current folder")
    if ".." in pattern.split("/"):
        raise _Refused("leads up; expected a path inside the workspace")
    return _nfc(posixpath.normpath(pattern))
