"""Globs over slash-separated paths: `*` and `?` stay within a folder, `**` crosses folders, `[…]` is a class."""

from __future__ import annotations

import functools
import re

_TOKEN = re.compile(
    r"(?P<folders>(?<![^/])\*\*/)|(?P<rest>(?<![^/])\*\*\Z)|(?P<star>\*+)|(?P<one>\?)|(?P<set>\[!?\]?[^\]]*\])"
)
_IS_GLOB = re.compile(r"[*?\[]")


def is_glob(pattern: str) -> bool:
    """True if the pattern has a character with a meaning of its own."""
    return bool(_IS_GLOB.search(pattern))


def matches(pattern: str, path: str) -> bool:
    """True if the whole path is what the pattern means. A pattern without special characters is the path itself."""
    return bool(_compiled(pattern).fullmatch(path))


def fixed_folder(pattern: str) -> str:
    """The folder that everything matching lies in, as far as the pattern fixes it; "" for the top."""
    match = _IS_GLOB.search(pattern)
    head = pattern if match is None else pattern[: match.start()]
    return head.rpartition("/")[0]


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(pattern):
        parts += [re.escape(pattern[end : token.start()]), _regex_of(token)]
        end = token.end()
    try:
        return re.compile("".join([*parts, re.escape(pattern[end:])]), re.DOTALL)
    except re.error:  # a class such as [z-a]: no class, then, but the characters themselves
        return re.compile(re.escape(pattern))


def _regex_of(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "folders":
            return "(?:[^/]+/)*"
        case "rest":
            return ".+"
        case "star":
            return "[^/]*"
        case "one":
            return "[^/]"
    inside = token.group()[1:-1]
    negated = inside.startswith("!")
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
    return f"(?!/)[{'^' if negated else ''}{members}]"
