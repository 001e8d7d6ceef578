"""Reads requirements files in pip's format: the files that they include, and the requirement on each line."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builder.errors import Problem
from builder.vm.protocol import RequirementLine

ReadFile = Callable[[str], str]

# Possessive quantifiers never backtrack, so a line takes time proportional to its length. Only the end of a URL is
# searched backwards, since a marker may follow without a space.
_NAME = r"(?P<name>[A-Za-z0-9]++(?:[._-]++[A-Za-z0-9]++)*+)"
_ONE = r"(?:===|==|~=|!=|<=|>=|<|>)\s*+[^\s,;()]++"
_VERSIONS = rf"\(?\s*+{_ONE}(?:\s*+,\s*+{_ONE})*+\s*+(?:,\s*+)?+\)?"
_REQUIREMENT = re.compile(rf"{_NAME}\s*+(?:\[[^\]]*+\]\s*+)?+(?:@\s*+\S+|{_VERSIONS})?\s*+(?:;.*)?")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-r)|(?<=-c))(?P<path>\S.*)")
_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url|--no-index|--pypi-url)(?:[\s=].*)?")
_PATH_OR_URL = re.compile(r"\.{0,2}/|[A-Za-z][A-Za-z0-9+.-]*://|.*\.(?:whl|zip|tar\.gz|tar\.bz2|tgz)(?:\s|$)")
_COMMENT = re.compile(r"(?:^|(?<!\s)\s+)#.*")
_HASH = "--hash"
_MAX_DEPTH = 50  # files that include one another in a row


@dataclass(frozen=True)
class Requirements:
    """A requirements file with the files that it includes; paths count from the repository's root."""

    path: str
    files: tuple[str, ...]
    lines: tuple[RequirementLine, ...]
    require_hashes: bool


def read_requirements(path: str, read: ReadFile, *, only_index: bool) -> Requirements | list[Problem]:
    """Return the requirements in the file at `path`, or all problems in it and in the files that it includes.

    `read` returns a file's text and raises OSError or ValueError. With `only_index`, NB_INDEX_URL names the index and
    no line may.
    """
    reader = _Reader(read, only_index=only_index)
    reader.take(path)
    if reader.problems:
        return reader.problems
    hashed = bool(reader.lines) and reader.hashed == len(reader.lines)
    return Requirements(path, tuple(reader.files), tuple(reader.lines), hashed)


class _Reader:
    """Reads a file and the files that it includes, each once."""

    def __init__(self, read: ReadFile, *, only_index: bool) -> None:
        self._read = read
        self._only_index = only_index
        self.files: dict[str, None] = {}
        self.lines: list[RequirementLine] = []
        self.hashed = 0
        self.problems: list[Problem] = []

    def take(
        self, path: str, asked_by: str = "NB_REQUIREMENTS", *, constraints: bool = False, depth: int = 0
    ) -> None:
        if path in self.files:
            return
        self.files[path] = None
        if depth > _MAX_DEPTH:
            self.problems.append(
                Problem(asked_by, path, f"at most {_MAX_DEPTH} files may include one another in a row")
            )
            return
        try:
            text = self._read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            self.problems.append(Problem(asked_by, path, f"cannot be read: {reason}"))
            return
        for number, line in _logical_lines(text):
            self._take_line(path, number, line, constraints=constraints, depth=depth)

    def _take_line(self, path: str, number: int, line: str, *, constraints: bool, depth: int) -> None:
        here = f"{path} line {number}"
        if include := _INCLUDE.fullmatch(line):
            target, constraining = include["path"].strip("\"'"), line.startswith(("-c", "--c"))
            self._take_included(path, here, target, constraints=constraining, depth=depth)
        elif _INDEX.fullmatch(line) and self._only_index:
            wanted = "NB_INDEX_URL is the only index; take this line out, or NB_INDEX_URL"
            self.problems.append(Problem(here, "", wanted))
        elif not line.startswith("-") and not constraints:
            self._take_requirement(path, number, here, line)

    def _take_included(self, path: str, here: str, target: str, *, constraints: bool, depth: int) -> None:
        if "://" in target:
            return  # uv fetches it
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if wanted.startswith(("/", "../")):
            self.problems.append(Problem(here, target, "expected a file inside the repository"))
        else:
            self.take(wanted, here, constraints=constraints, depth=depth + 1)

    def _take_requirement(self, path: str, number: int, here: str, line: str) -> None:
        text = line.partition(_HASH)[0].strip()
        match = _REQUIREMENT.fullmatch(text)
        if match is None and not _PATH_OR_URL.match(text):
            self.problems.append(Problem(here, text, "expected a requirement such as pandas>=2.2"))
            return
        self.hashed += _HASH in line
        name = normalized(match["name"]) if match else ""
        self.lines.append(RequirementLine(name, path, number, text))


def normalized(name: str) -> str:
    """Return a project's name in the form that indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, joined with its continuations, after its number (from 1)."""
    pieces: list[str] = []
    begun = 0
    for number, line in enumerate([*text.removeprefix("\ufeff").splitlines(), ""], start=1):
        begun = begun or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pieces.append(line[:-1])
            continue
        if joined := _COMMENT.sub("", " ".join([*pieces, line])).strip():
            yield begun, joined
        pieces, begun = [], 0
