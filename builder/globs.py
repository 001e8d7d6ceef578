"""Globs over slash-separated paths: `*` and `?` stay within a folder, `**` crosses folders, `[…]` is a class.

A pattern becomes a regular expression that never tries a position twice. The part between two stars has a fixed
length, and the part between two `**/` a fixed number of folders. Its first match in the path is as good as any later
one, so each such part is an atomic group. Matching takes time proportional to at most the product of both lengths.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"(?P<folders>(?<![^/])\*\*/)|(?P<rest>(?<![^/])\*\*\Z)|(?P<star>\*+)|(?P<one>\?)|(?P<set>\[!?\]?[^\]]*\])|(?P<plain>.)",
    re.DOTALL,
)
_IS_GLOB = re.compile(r"[*?\[]")
_FOLDERS, _REST, _STAR, _SLASH = "folders", "rest", "star", "/"
_FIXED = {_FOLDERS: _FOLDERS, _REST: _REST, _STAR: _STAR, "one": "[^/]"}


def is_glob(pattern: str) -> bool:
    """True if the pattern has a special character."""
    return bool(_IS_GLOB.search(pattern))


def matches(pattern: str, path: str) -> bool:
    """True if the pattern matches the whole path. A pattern without special characters matches itself.

    The path must have no empty folder names.
    """
    return bool(_compiled(pattern).fullmatch(path))


def fixed_folder(pattern: str) -> str:
    """Return the folder that contains every match, as far as the pattern fixes it; "" for the top."""
    match = _IS_GLOB.search(pattern)
    head = pattern if match is None else pattern[: match.start()]
    return head.rpartition("/")[0]


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *others = _split([_element(token) for token in _TOKEN.finditer(pattern)], _FOLDERS)
    parts = [_path(first)]
    if others:
        *middle, last = others
        parts += [f"(?>(?:[^/]+/)*?{_path(block)})" for block in middle]
        parts.append(f"(?:[^/]+/)*{_path(last)}")
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # an invalid class such as [z-a] stands for its characters
        return re.compile(re.escape(pattern))


def _element(token: re.Match[str]) -> str:
    """Return one of the names above, or the regular expression of exactly one character."""
    kind = str(token.lastgroup)
    if kind == "set":
        return _class(token.group()[1:-1])
    return _FIXED.get(kind) or (_SLASH if token.group() == _SLASH else re.escape(token.group()))


def _class(inside: str) -> str:
    negated = inside.startswith("!")
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
    return f"(?!/)[{'^' if negated else ''}{members}]"


def _path(elements: Sequence[str]) -> str:
    return _SLASH.join(map(_folder, _split(elements, _SLASH)))


def _folder(elements: Sequence[str]) -> str:
    if list(elements) == [_REST]:
        return ".+"
    begin, *others = ("".join(piece) for piece in _split(elements, _STAR))
    if not others:
        return begin
    *middle, end = others
    return "".join([begin, *(f"(?>[^/]*?{piece})" for piece in middle), "[^/]*", end])


def _split(elements: Sequence[str], at: str) -> Iterator[list[str]]:
    piece: list[str] = []
    for element in elements:
        if element == at:
            yield piece
            piece = []
        else:
            piece.append(element)
    yield piece
