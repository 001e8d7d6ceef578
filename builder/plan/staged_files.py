"""Collects the files that are staged with one notebook, and says what was left out and what stands in the way."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Problem
from builder.plan.folder_walk import walk
from builder.plan.globs import fixed_folder, is_glob, matches
from builder.plan.packing import StagedFile
from builder.plan.tracked import Tracked

MAX_WORKSPACE_BYTES = 2 * 2**30
_OUTPUTS = "outputs"
_EXECUTABLE = 0o111
_NAMED = 5  # of any number


@dataclass(frozen=True)
class Collected:
    """The files to stage, sorted by path; what was left out and why; and what must be put right first."""

    files: tuple[StagedFile, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together, before packing."""
        return sum(file.size for file in self.files)


class Collector:
    """One collection for one notebook. Paths count from `top` and have slashes."""

    def __init__(self, top: Path, tracked: Tracked | None, notebook: str) -> None:
        self._top = top
        self._tracked = tracked
        self._notebook = notebook
        self._folder = posixpath.dirname(notebook)
        self._outputs = posixpath.join(self._folder, _OUTPUTS)
        self._files: dict[str, StagedFile] = {}
        self._gone: list[str] = []
        self._warnings: list[str] = []
        self._problems: list[Problem] = []

    def collect(self, include: Sequence[str], also: Sequence[str] = ()) -> Collected:
        """Everything to stage: the notebook's folder, what the globs add, the paths in `also`, and the notebook itself."""
        try:
            self._add(self._in_folder())
            for pattern in include:
                self._add_matching(pattern)
            self._add([*also, self._notebook])
        except OSError as error:
            place = os.fsencode(error.filename or self._folder).decode("utf-8", errors="backslashreplace")
            self._problems.append(Problem(place, "", f"cannot be read: {error.strerror or error}"))
        self._warn_of_gone()
        self._problems += [
            Problem(path, "", f"lies in {self._outputs}/, which is never staged")
            for path in also
            if self._is_output(path)
        ]
        self._check_size()
        files = tuple(self._files[path] for path in sorted(self._files))
        return Collected(files, tuple(dict.fromkeys(self._warnings)), tuple(self._problems))

    def _in_folder(self) -> Iterator[str]:
        inside = f"{self._folder}/" if self._folder else ""
        if self._tracked is None:
            yield from (inside + path for path in walk(self._top / self._folder))
            return
        if self._notebook not in self._tracked.files:
            self._warnings.append(f"{self._notebook} is not tracked by git; it is staged all the same")
        for path in sorted(self._tracked.submodules):
            if path.startswith(inside):
                self._warnings.append(
                    f"{path} is a submodule and is not staged; NB_INCLUDE can add its files"
                )
        yield from sorted(path for path in self._tracked.files if path.startswith(inside))

    def _add_matching(self, pattern: str) -> None:
        wanted = posixpath.normpath(pattern) if pattern.strip() else ""
        if not wanted or wanted.startswith(("/", "~")) or {"..", ".git"} & set(pattern.split("/")):
            self._refuse(pattern, "expected a glob from the repository's root that stays inside it")
            return
        if not is_glob(wanted) and (self._top / wanted).is_dir():
            wanted = "**" if wanted == "." else f"{wanted}/**"
        folder = fixed_folder(wanted)
        start = self._top / folder
        below = walk(start) if start.is_dir() else ()
        paths = [posixpath.join(folder, path) for path in below]
        found = [path for path in paths if matches(wanted, path)]
        if not found:
            self._refuse(pattern, "matches no file in the repository")
        elif all(self._is_output(path) for path in found):
            self._refuse(pattern, f"matches only files in {self._outputs}/, which is never staged")
        self._add(found)

    def _refuse(self, pattern: str, why: str) -> None:
        self._problems.append(Problem("NB_INCLUDE", pattern, why))

    def _is_output(self, path: str) -> bool:
        return path == self._outputs or path.startswith(f"{self._outputs}/")

    def _add(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path not in self._files and not self._is_output(path):
                self._add_one(path, self._top / path, ())

    def _add_one(self, path: str, source: Path, through: tuple[Path, ...]) -> None:
        """Stage what stands at `source` as `path`; `through` are the folders that links have led through."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", errors="backslashreplace")
            self._problems.append(Problem(shown, "", "has a name that is not UTF-8; rename it"))
            return
        try:
            real = source.resolve(strict=True)
        except (OSError, RuntimeError):
            self._left_out(path, source)
            return
        if not real.is_relative_to(self._top) or ".git" in real.relative_to(self._top).parts:
            self._problems.append(Problem(path, "", f"is a symbolic link out of the repository, to {real}"))
            return
        status = real.stat()
        if stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & _EXECUTABLE)
            self._files[path] = StagedFile(path, real, status.st_size, executable)
        elif stat.S_ISDIR(status.st_mode):
            self._add_linked_folder(path, real, through)
        else:
            self._warnings.append(f"{path} is neither a file nor a link and is not staged")

    def _left_out(self, path: str, source: Path) -> None:
        if source.is_symlink():
            self._warnings.append(f"{path} is a symbolic link that leads nowhere and is not staged")
        else:
            self._gone.append(path)

    def _warn_of_gone(self) -> None:
        """One warning for all: a build step that cleaned up may have removed any number."""
        if self._gone:
            few = ", ".join(self._gone[:_NAMED]) + (", …" if len(self._gone) > _NAMED else "")
            self._warnings.append(f"not staged, since tracked by git but gone from the working tree: {few}")

    def _add_linked_folder(self, path: str, real: Path, through: tuple[Path, ...]) -> None:
        """Stage a linked folder's files below the link's own path: the link might lead to what is not staged."""
        if real in through or (self._top / path).parent.resolve().is_relative_to(real):
            self._problems.append(Problem(path, "", "is a symbolic link to a folder that it lies in"))
            return
        for inside in walk(real):
            staged = f"{path}/{inside}"
            if staged not in self._files and not self._is_output(staged):
                self._add_one(staged, real / inside, (*through, real))

    def _check_size(self) -> None:
        total = sum(file.size for file in self._files.values())
        if total <= MAX_WORKSPACE_BYTES:
            return
        largest = sorted(self._files.values(), key=lambda file: -file.size)[:3]
        named = ", ".join(f"{file.path} ({file.size >> 20} MiB)" for file in largest)
        problem = (
            f"{total >> 20} MiB would be staged with it, more than {MAX_WORKSPACE_BYTES >> 20}; keep large data in "
            f"Cloud Storage. Largest: {named}"
        )
        self._problems.append(Problem(self._notebook, "", problem))
