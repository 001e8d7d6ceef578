"""Which part of a bucket a listing shows: prefix, delimiter, offsets, glob and pages. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from localcloud.errors import invalid
from localcloud.storage.preconditions import whole_number

_PAGE = 1000


@dataclass(frozen=True)
class Query:
    """The parameters of a listing, by Google's names."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    glob: str = ""
    after: str = ""
    limit: int = _PAGE
    trailing: bool = False

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Query:
        """Read them from query parameters; raises Google's 400."""
        limit = whole_number(params, "maxResults")
        return cls(
            prefix=params.get("prefix", ""),
            delimiter=params.get("delimiter", ""),
            start=params.get("startOffset", ""),
            end=params.get("endOffset", ""),
            glob=params.get("matchGlob", ""),
            after=_last_of(params.get("pageToken", "")),
            limit=min(limit or _PAGE, _PAGE),
            trailing=params.get("includeTrailingDelimiter") == "true",
        )


@dataclass(frozen=True)
class Page:
    """One page: names and prefixes, each in order of their UTF-8 bytes; the token is None on the last page."""

    names: tuple[str, ...]
    prefixes: tuple[str, ...]
    token: str | None


def select(names: Iterable[str], query: Query) -> Page:
    """Return the page that the query asks for."""
    shown: dict[tuple[str, bool], None] = {}
    for name in names:
        if _wanted(name, query):
            shown.update(dict.fromkeys(_entries(name, query)))
    ordered = sorted((entry for entry in shown if entry[0].encode() > query.after.encode()), key=_order)
    page = ordered[: query.limit]
    # A placeholder "a/" and the prefix "a/" share their text: both belong to the page on which it comes up.
    while len(page) < len(ordered) and ordered[len(page)][0] == page[-1][0]:
        page.append(ordered[len(page)])
    return Page(
        names=tuple(text for text, is_prefix in page if not is_prefix),
        prefixes=tuple(text for text, is_prefix in page if is_prefix),
        token=_token(page[-1][0]) if len(page) < len(ordered) else None,
    )


def _order(entry: tuple[str, bool]) -> tuple[bytes, bool]:
    return entry[0].encode(), entry[1]


def _wanted(name: str, query: Query) -> bool:
    key = name.encode()
    return (
        name.startswith(query.prefix)
        and key >= query.start.encode()
        and (not query.end or key < query.end.encode())
        and (not query.glob or glob_pattern(query.glob).fullmatch(name) is not None)
    )


def _entries(name: str, query: Query) -> list[tuple[str, bool]]:
    """Return what stands for a name in the listing: itself, the prefix it falls under, or both."""
    if not query.delimiter:
        return [(name, False)]
    cut = name.find(query.delimiter, len(query.prefix))
    if cut < 0:
        return [(name, False)]
    end = cut + len(query.delimiter)
    both = query.trailing and end == len(name)
    return [(name[:end], True)] + ([(name, False)] if both else [])


@lru_cache(maxsize=64)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """Turn a matchGlob into a pattern: `*` and `?` stay within a segment, `**` does not, `[…]` and `{a,b}` as usual.

    Source: cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob.
    Raises Google's 400 for one that is not closed.
    """
    out: list[str] = []
    depth = 0
    for piece in re.findall(r"\*\*/|\*+|\?|\[[!^]?\]?[^\]]*\]|\\.|[{},]|.", glob, re.DOTALL):
        if piece == "{":
            depth += 1
        elif piece == "}":
            depth -= 1
        out.append(_translated(piece, nested=depth > 0))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        raise invalid(f"Invalid matchGlob: '{glob}'") from None


def _translated(piece: str, *, nested: bool) -> str:
    fixed = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", "[": "\\["}
    if piece == ",":
        return "|" if nested else ","
    if piece in fixed:
        return fixed[piece]
    if piece.startswith("**"):
        return ".*"
    if piece.startswith("[") and len(piece) > 1:
        inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[^/{inside[1:]}]" if inside[:1] in {"!", "^"} else f"[{inside}]"
    return re.escape(piece[1:] if piece.startswith("\\") and len(piece) > 1 else piece)


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _last_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("Invalid value for pageToken.") from None
