"""Finds tags and elements in HTML text, in linear time.

A regular expression for a whole tag or element searches to the end of the text at every beginning without an end.
Here, the first one without an end stops the search, since later ones have none either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Tag:
    """A tag in a text, from its `<` to after its first `>`, and its attributes."""

    start: int
    end: int
    attributes: str


@dataclass(frozen=True)
class Element(Tag):
    """An element, from its tag to after its closing tag. `inside` is the text between the two."""

    inside: str


Found = TypeVar("Found", bound=Tag)


def tags(text: str, beginning: str, at: int = 0) -> Iterator[Tag]:
    r"""Yield the tags whose beginning matches the pattern, such as `<meta\b`, in order, without overlap."""
    pattern = re.compile(beginning, re.IGNORECASE)
    while begin := pattern.search(text, at):
        at = text.find(">", begin.end()) + 1
        if not at:
            return
        yield Tag(begin.start(), at, text[begin.end() : at - 1])


def elements(text: str, name: str, *, unclosed: bool = False) -> Iterator[Element]:
    """Yield the elements of that name, in order, without overlap.

    `unclosed`: the last one can extend to the text's end.
    """
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
