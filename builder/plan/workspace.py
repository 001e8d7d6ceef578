"""Finds the notebooks that patterns mean, and the files to stage with each."""

from __future__ import annotations

import difflib
import functools
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BadInput, Problem
from builder.globs import is_glob, matches
from builder.options import NotebookEntry
from builder.plain_text import escaped
from builder.plan.folder_walk import walk
from builder.plan.notebooks import MAX_NOTEBOOK_BYTES
from builder.plan.staged_files import OUTPUTS, Collected, Collector
from builder.plan.tracked import IndexUnreadable, Tracked, find_tracked

_MAX_SHOWN = 5  # files of a glob that may not run
_MAX_COMPARED = 20  # patterns without a match to compare with every notebook's name
_SUFFIX = ".ipynb"


@dataclass(frozen=True)
class Selection:
    """Notebooks by repo-relative path, sorted, each with the entry that found it; and problems of patterns."""

    notebooks: tuple[tuple[str, NotebookEntry], ...]
    problems: tuple[Problem, ...]


class _Refused(Exception):
    """A pattern names no notebook that can be run; the message says why."""


class Workspace:
    """The files that a run may use: the current folder, and the repository around it.

    Patterns count from `root`. Returned paths count from `top`, the repository's root, or `root` without a repository.
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
        """Return a repo-relative path as counted from the current folder."""
        return Path(os.path.relpath(self.top / path, self.root)).as_posix()

    def repository_path(self, path: str) -> str:
        """Return a path that counts from the current folder as counted from the repository's root."""
        return Path(os.path.relpath(self.root / path, self.top)).as_posix()

    def tracks(self, folder: str) -> bool:
        """True if git tracks a file in this folder at the repository's root."""
        tracked = self._tracked
        return tracked is not None and any(path.startswith(f"{folder}/") for path in tracked.files)

    def python_modules(self) -> Mapping[str, str]:
        """Return the path of each Python module that git tracks, by the name that imports it."""
        files = sorted(self._tracked.files, reverse=True) if self._tracked else ()
        paths = [path for path in files if path.endswith(".py")]
        return {module_name(path): path for path in paths}

    def text(self, path: str) -> str:
        """Return the text of a repo-relative file. Raises OSError, or ValueError if it is not UTF-8."""
        return (self.top / path).read_text(encoding="utf-8")

    def select(self, entries: Iterable[NotebookEntry]) -> Selection:
        """Return the notebooks that the entries mean.

        A glob skips hidden folders, `.ipynb_checkpoints`, `outputs/` and virtual environments. A notebook found twice
        belongs to the entry that names its path, else to the first that finds it.
        """
        named: dict[str, NotebookEntry] = {}
        globbed: dict[str, NotebookEntry] = {}
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
        """Return the bytes of a selected notebook, at most one more than `read_notebook` accepts. Raises BadInput."""
        try:
            with (self.top / path).open("rb") as file:
                return file.read(MAX_NOTEBOOK_BYTES + 1)
        except OSError as error:
            raise BadInput([Problem(path, "", f"cannot be read: {error.strerror}")]) from error

    def files_for(
        self, path: str, include: Sequence[str] | None = None, also: Sequence[str] = ()
    ) -> Collected:
        """Return the files to stage with a notebook: its folder as git tracks it, matches of `include`, and `also`.

        Without git, all of the folder. `include` counts from the repository's root and finds untracked files, too. The
        notebook is always included; `outputs/` beside it never is, even if it is committed.
        """
        return self._collector.collect(path, include or (), also)

    @functools.cached_property
    def _collector(self) -> Collector:
        return Collector(self.top, self._tracked)

    def _named(self, pattern: str) -> list[str]:
        """Return the notebook whose path the pattern is; nothing if the pattern is a glob. Raises _Refused."""
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
        found, refused = [], []
        for path in self._notebooks:
            if matches(local, _nfc(path)):
                try:
                    found.append(self._checked(self.root / path))
                except _Refused as error:
                    refused.append(f"finds {escaped(path)}, which {error}")
        if refused:
            more = [f"and finds {len(refused) - _MAX_SHOWN} more such files"] * (len(refused) > _MAX_SHOWN)
            raise _Refused("; ".join([*refused[:_MAX_SHOWN], *more]))
        if not found:
            raise _Refused(self._no_match(local))
        return found

    @functools.cached_property
    def _notebooks(self) -> list[str]:
        """All notebooks that a glob may find, relative to the current folder. Raises _Refused."""
        found = walk(self.root, enter=lambda name: name != OUTPUTS and not name.startswith("."))
        try:
            return sorted(path for path in found if path.endswith(_SUFFIX))
        except OSError as error:
            folder = os.fsencode(error.filename or self.root).decode("utf-8", errors="backslashreplace")
            raise _Refused(f"cannot be looked for: {folder} cannot be read: {error.strerror}") from error

    @functools.cached_property
    def _known(self) -> dict[str, str]:
        """The notebooks by their names in composed Unicode (NFC), without the suffix."""
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
        """Return up to three similar names, or equal names in other folders; none after many unmatched patterns."""
        self._compared += 1
        if self._compared > _MAX_COMPARED:
            return []
        near = difflib.get_close_matches(wanted, self._known, n=3)
        base = posixpath.basename(wanted)
        return near or [path for path in self._known if posixpath.basename(path) == base][:3]

    def _checked(self, file: Path) -> str:
        """Return the repo-relative path of a notebook that may be run. Raises _Refused."""
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


def module_name(path: str) -> str:
    """Return the name that imports a module: `helper` for `books/helper.py` and `books/helper/__init__.py`."""
    return posixpath.basename(path.removesuffix("/__init__.py").removesuffix(".py"))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _normalized(pattern: str) -> str:
    """Return the pattern in its plainest form. Raises _Refused if it leads out of the workspace."""
    if not pattern.strip():
        raise _Refused("is empty; expected a path or a glob")
    if _has_control(pattern):
        raise _Refused("has a control character, or one that is not UTF-8")
    if pattern.startswith(("/", "~")):
        raise _Refused("is absolute; expected a path from the current folder")
    if ".." in pattern.split("/"):
        raise _Refused("leads up; expected a path inside the workspace")
    return _nfc(posixpath.normpath(pattern))
