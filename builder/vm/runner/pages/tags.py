"""Finds tags and whole elements in HTML by their text, in time proportional to its length.

A regular expression for a whole tag or element looks to the end of the text at every beginning that nothing closes. Here the
first one that nothing closes ends the search: nothing closes those after it either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Tag:
    """A tag in a text, from its `<` to behind its first `>`, and what stands between its name and that."""

    start: int
    end: int
    attributes: str


@dataclass(frozen=True)
class Element(Tag):
    """An element from its tag to behind its closing tag. `inside` is what stands between the two."""

    inside: str


Found = TypeVar("Found", bound=Tag)


def tags(text: str, beginning: str, at: int = 0) -> Iterator[Tag]:
    r"""Yield the tags whose beginning fits the pattern, such as `<meta\b`, in order, none inside of another."""
    pattern = re.compile(beginning, re.IGNORECASE)
    while begin := pattern.search(text, at):
        at = text.find(">", begin.end()) + 1
        if not at:
            return
        yield Tag(begin.start(), at, text[begin.end() : at - 1])


def elements(text: str, name: str, *, unclosed: bool = False) -> Iterator[Element]:
    """Yield the elements of that name, in order, none inside of another. `unclosed`: the last may go to the text's end."""
    closing = re.compile(rf"</{name}\s*>", re.IGNORECASE)
    at = 0
    while tag := next(tags(text, rf"<{name}\b", at), None):
        close = closing.search(text, tag.end)
        if close is None and not unclosed:
            return
        stop, at = (close.start(), close.end()) if close else (len(text), len(text))
        yield Element(tag.start, at, tag.attributes, text[tag.end : stop])


def replaced(text: str, found: Iterable[Found], by: Callable[[Found], str] = lambda _: "") -> str:
    """Return the text with each of these tags or elements, which are in order, replaced; without them by default."""
    made, at = [], 0
    for one in found:
        made += [text[at : one.start], by(one)]
        at = one.end
    return "".join([*made, text[at:]])
