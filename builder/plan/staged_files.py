"""Collects the files to stage with each notebook, with warnings about files left out, and problems."""

from __future__ import annotations

import os
import posixpath
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from builder.errors import Problem
from builder.globs import fixed_folder, is_glob, matches
from builder.plan.folder_walk import walk
from builder.plan.packing import StagedFile
from builder.plan.tracked import Tracked

MAX_WORKSPACE_BYTES = 2 * 2**30
OUTPUTS = "outputs"
_EXECUTABLE = 0o111
_MAX_POINTER_BYTES = 1024  # bytes, of Git LFS
_POINTER = b"version https://git-lfs.github.com/spec/v1"
_NAMED = 5  # files that a warning names
_MAX_THROUGH_LINKS = 50_000  # files, since folders that link to others can double with each link
_AFTER_SLASH = chr(ord("/") + 1)


@dataclass(frozen=True)
class Collected:
    """The files to stage, sorted by path, with warnings about files left out, and problems."""

    files: tuple[StagedFile, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


class _Kind(Enum):
    """The kind of a path that is no regular file."""

    FOLDER = "folder"
    OUTSIDE = "outside the repository, or in .git"
    MISSING = "nothing"
    OTHER = "a socket, a device or a pipe"


@dataclass(frozen=True)
class _Look:
    """The target of a path: a file to stage, or its kind. `real` is the path with all symbolic links resolved."""

    real: Path
    found: StagedFile | _Kind


class _Tree:
    """The working tree, read once: each file's status, each walk, and the tracked paths. Paths count from `top`."""

    def __init__(self, top: Path, tracked: Tracked | None) -> None:
        self.top = top
        self.tracked = tracked
        self._paths = sorted(tracked.files) if tracked else []
        self._submodules = sorted(tracked.submodules) if tracked else []
        self.pointers: set[str] = set()  # files in whose place Git LFS has put its pointer
        self._looks: dict[str, _Look] = {}
        self._walks: dict[str, tuple[str, ...]] = {}

    def tracked_in(self, folder: str) -> Sequence[str]:
        """Return the paths in this folder that git tracks, sorted."""
        return _below(self._paths, folder)

    def submodules_in(self, folder: str) -> Sequence[str]:
        """Return the submodules in this folder, sorted."""
        return _below(self._submodules, folder)

    def submodules_around(self, folder: str) -> Sequence[str]:
        """Return the submodules that are this folder, or contain it."""
        return [path for path in self._submodules if f"{folder}/".startswith(f"{path}/")]

    def walked(self, folder: str) -> Sequence[str]:
        """Return all paths in this folder, as `folder_walk.walk` yields them. Raises OSError."""
        if folder not in self._walks:
            self._walks[folder] = tuple(posixpath.join(folder, path) for path in walk(self.top / folder))
        return self._walks[folder]

    def look(self, path: str, source: Path) -> _Look:
        """Return the target of `source`, to be staged as `path`. Raises OSError if its status cannot be read."""
        if path not in self._looks:
            self._looks[path] = self._read(path, source)
        return self._looks[path]

    def _read(self, path: str, source: Path) -> _Look:
        try:
            real = source.resolve(strict=True)
        except (OSError, RuntimeError):
            return _Look(source, _Kind.MISSING)
        if not real.is_relative_to(self.top) or ".git" in real.relative_to(self.top).parts:
            return _Look(real, _Kind.OUTSIDE)
        status = real.stat()
        if stat.S_ISREG(status.st_mode):
            if status.st_size < _MAX_POINTER_BYTES and _is_pointer(real):
                self.pointers.add(path)
            return _Look(real, StagedFile(path, real, status.st_size, bool(status.st_mode & _EXECUTABLE)))
        return _Look(real, _Kind.FOLDER if stat.S_ISDIR(status.st_mode) else _Kind.OTHER)


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _below(paths: Sequence[str], folder: str) -> Sequence[str]:
    """Return the part of sorted paths that begins with the folder's name and a slash; all of them for ""."""
    if not folder:
        return paths
    return paths[bisect_left(paths, f"{folder}/") : bisect_left(paths, f"{folder}{_AFTER_SLASH}")]


class Collector:
    """Collects the files of one workspace's notebooks, and reads shared files once.

    Notebooks in one folder that ask for the same globs and paths share one collection. Notebooks with the same files
    get the same tuple.
    """

    def __init__(self, top: Path, tracked: Tracked | None) -> None:
        self._tree = _Tree(top, tracked)
        self._collections: dict[tuple[str, tuple[str, ...], tuple[str, ...]], _Collection] = {}
        self._files: dict[tuple[str, ...], tuple[StagedFile, ...]] = {}

    def collect(self, notebook: str, include: Sequence[str] = (), also: Sequence[str] = ()) -> Collected:
        """Return the files to stage: the notebook, its folder, the matches of the globs, and the paths in `also`."""
        folder = posixpath.dirname(notebook)
        key = (folder, tuple(include), tuple(also))
        if key not in self._collections:
            self._collections[key] = _Collection(self._tree, folder).fill(include, also)
        shared = self._collections[key]
        own = shared if notebook in shared.files else shared.with_notebook(notebook)
        tracked = self._tree.tracked
        untracked = tracked is not None and notebook not in tracked.files
        warning = (f"{notebook} is not tracked by git; it is staged all the same",) if untracked else ()
        return Collected(
            self._shared_files(own), (*warning, *own.warnings), (*own.problems, *own.size_problems(notebook))
        )

    def _shared_files(self, collection: _Collection) -> tuple[StagedFile, ...]:
        """Return the collection's files in order. Equal paths are equal files within one tree."""
        if collection.ordered is None:
            paths = tuple(sorted(collection.files))
            files = collection.files
            collection.ordered = self._files.setdefault(paths, tuple(files[path] for path in paths))
        return collection.ordered


class _Collection:
    """The files for the notebooks of one folder that ask for the same globs and paths."""

    def __init__(self, tree: _Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self._outputs = posixpath.join(folder, OUTPUTS)
        self.files: dict[str, StagedFile] = {}
        self.ordered: tuple[StagedFile, ...] | None = None
        self.warnings: tuple[str, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self._gone: list[str] = []
        self._told: list[str] = []
        self._wrong: list[Problem] = []
        self._bytes: int | None = None
        self._including = False  # the matches of NB_INCLUDE, which need not be tracked
        self._wrong_links = False  # a linked folder was refused, and no further one is followed

    def fill(self, include: Sequence[str], also: Sequence[str]) -> Self:
        """Collect the folder, the matches of the globs, and the paths in `also`."""
        try:
            self._add(self._in_folder())
            self._including = True
            for pattern in include:
                self._add_matching(pattern)
            self._add(also)
            self._refuse_submodule(include)
        except OSError as error:
            self._unreadable(error)
        misplaced = [path for path in also if self._is_output(path)]
        self._wrong += [
            Problem(path, "", f"lies in {self._outputs}/, which is never staged") for path in misplaced
        ]
        return self._finished()

    def _refuse_submodule(self, include: Sequence[str]) -> None:
        """Add a problem if the folder lies in a submodule: the repository's index does not list its files."""
        for path in self._tree.submodules_around(self._folder):
            if not include:
                told = f"lies in the submodule {path}, whose files are not staged; add them with NB_INCLUDE={self._folder}/**"
                self._wrong.append(Problem(self._folder, "", told))

    def with_notebook(self, notebook: str) -> _Collection:
        """Return this collection with a notebook that git does not track."""
        own = _Collection(self._tree, self._folder)
        own.files = dict(self.files)
        own._gone, own._told, own._wrong = list(self._gone), list(self._told), list(self._wrong)
        try:
            own._add([notebook])
        except OSError as error:
            own._unreadable(error)
        return own._finished()

    def size_problems(self, notebook: str) -> tuple[Problem, ...]:
        """Return a problem if the files together are too large to be staged with this notebook."""
        if self._bytes is None:
            self._bytes = sum(file.size for file in self.files.values())
        total = self._bytes
        if total <= MAX_WORKSPACE_BYTES:
            return ()
        largest = sorted(self.files.values(), key=lambda file: -file.size)[:3]
        named = ", ".join(f"{file.path} ({file.size >> 20} MiB)" for file in largest)
        problem = (
            f"{total >> 20} MiB would be staged with it, more than {MAX_WORKSPACE_BYTES >> 20}; keep large data in "
            f"Cloud Storage. Largest: {named}"
        )
        return (Problem(notebook, "", problem),)

    def _finished(self) -> Self:
        """Set `warnings` and `problems`. All missing files make one warning: a build step may remove many."""
        told = list(self._told)
        if self._gone:
            few = ", ".join(self._gone[:_NAMED]) + (", …" if len(self._gone) > _NAMED else "")
            told.append(f"not staged, since tracked by git but gone from the working tree: {few}")
        pointers = sorted(self._tree.pointers & self.files.keys())
        if pointers:
            few = ", ".join(pointers[:_NAMED]) + (", …" if len(pointers) > _NAMED else "")
            told.append(
                f"Git LFS pointers are staged in place of files: {few}; run `git lfs pull` before this step"
            )
        self.warnings = tuple(dict.fromkeys(told))
        self.problems = tuple(self._wrong)
        return self

    def _unreadable(self, error: OSError) -> None:
        place = os.fsencode(error.filename or self._folder).decode("utf-8", errors="backslashreplace")
        self._wrong.append(Problem(place, "", f"cannot be read: {error.strerror or error}"))

    def _in_folder(self) -> Iterator[str]:
        if self._tree.tracked is None:
            yield from self._tree.walked(self._folder)
            return
        for path in self._tree.submodules_in(self._folder):
            self._told.append(f"{path} is a submodule and is not staged; NB_INCLUDE can add its files")
        yield from self._tree.tracked_in(self._folder)

    def _add_matching(self, pattern: str) -> None:
        wanted = posixpath.normpath(pattern) if pattern.strip() else ""
        if not wanted or wanted.startswith(("/", "~")) or {"..", ".git"} & set(pattern.split("/")):
            self._refuse(pattern, "expected a glob from the repository's root that stays inside it")
            return
        top = self._tree.top
        if not is_glob(wanted) and (top / wanted).is_dir():
            wanted = "**" if wanted == "." else f"{wanted}/**"
        folder = fixed_folder(wanted)
        below = self._tree.walked(folder) if (top / folder).is_dir() else ()
        found = [path for path in below if matches(wanted, path)]
        if not found:
            self._refuse(pattern, "matches no file in the repository")
        elif all(self._is_output(path) for path in found):
            self._refuse(pattern, f"matches only files in {self._outputs}/, which is never staged")
        self._add(found)

    def _refuse(self, pattern: str, why: str) -> None:
        self._wrong.append(Problem("NB_INCLUDE", pattern, why))

    def _is_output(self, path: str) -> bool:
        return path == self._outputs or path.startswith(f"{self._outputs}/")

    def _add(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path not in self.files and not self._is_output(path):
                self._add_one(path, self._tree.top / path, ())

    def _add_one(self, path: str, source: Path, through: tuple[Path, ...]) -> None:
        """Stage the target of `source` as `path`; `through` are the linked folders on the way."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", errors="backslashreplace")
            self._wrong.append(Problem(shown, "", "has a name that is not UTF-8; rename it"))
            return
        look = self._tree.look(path, source)
        match look.found:
            case StagedFile() as file:
                self.files[path] = file
            case _Kind.FOLDER:
                self._add_linked_folder(path, look.real, through)
            case _Kind.MISSING:
                self._left_out(path, source)
            case _Kind.OUTSIDE:
                problem = f"is a symbolic link out of the repository, to {look.real}"
                self._wrong.append(Problem(path, "", problem))
            case _Kind.OTHER:
                self._told.append(f"{path} is neither a file nor a link and is not staged")

    def _left_out(self, path: str, source: Path) -> None:
        if source.is_symlink():
            self._told.append(f"{path} is a symbolic link that leads nowhere and is not staged")
        else:
            self._gone.append(path)

    def _add_linked_folder(self, path: str, real: Path, through: tuple[Path, ...]) -> None:
        """Stage a linked folder's files below the link's own path, since the folder itself may not be staged."""
        if real in through or (self._tree.top / path).parent.resolve().is_relative_to(real):
            self._wrong_links = True
            self._wrong.append(Problem(path, "", "is a symbolic link to a folder that contains it"))
            return
        for inside in self._inside(path, real):
            staged = f"{path}/{inside}"
            if self._wrong_links:
                return  # folders that link to one another have ever more paths
            if len(self.files) > _MAX_THROUGH_LINKS:
                self._wrong_links = True
                told = f"is a symbolic link; with its files, more than {_MAX_THROUGH_LINKS} would be staged"
                self._wrong.append(Problem(path, "", told))
                return
            if staged not in self.files and not self._is_output(staged):
                self._add_one(staged, real / inside, (*through, real))

    def _inside(self, path: str, real: Path) -> Iterable[str]:
        """Yield the paths in a linked folder, relative to it: those that git tracks, or all that NB_INCLUDE finds."""
        if self._tree.tracked is None or self._including:
            return walk(real)
        folder = "" if real == self._tree.top else real.relative_to(self._tree.top).as_posix()
        found = [posixpath.relpath(each, folder or ".") for each in self._tree.tracked_in(folder)]
        if not found:
            told = f"{path} is a symbolic link to a folder of which git tracks nothing; NB_INCLUDE can add its files"
            self._told.append(told)
        return found
