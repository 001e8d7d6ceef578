"""Globs over slash-separated paths: `*` and `?` stay within a folder, `**` crosses folders, `[…]` is a class.

A pattern becomes a regular expression that never tries a place twice. What stands between two stars, or between two `**/`, has a
fixed length or a fixed number of folders, so its first place in the path is as good as any later one: each such part is
an atomic group. Matching takes at most the product of both lengths, whatever the pattern.
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
    """True if the pattern has a character with a meaning of its own."""
    return bool(_IS_GLOB.search(pattern))


def matches(pattern: str, path: str) -> bool:
    """True if the whole path is what the pattern means. A pattern without special characters is the path itself.

    No folder on the path has an empty name: neither files nor the evidence's objects may have one.
    """
    return bool(_compiled(pattern).fullmatch(path))


def fixed_folder(pattern: str) -> str:
    """The folder that everything matching lies in, as far as the pattern fixes it; "" for the top."""
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
    except re.error:  # a class such as [z-a]: no class, then, but the characters themselves
        return re.compile(re.escape(pattern))


def _element(token: re.Match[str]) -> str:
    """What a token means: one of the names above, or the regular expression of exactly one character."""
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
