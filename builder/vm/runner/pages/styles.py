"""Reduces style sheets to the look of content, such as colours of a data frame; removes what could load or cover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tinycss2

from . import tags

PROPERTIES = {
    "background",
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-radius",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "caption-side",
    "color",
    "column-gap",
    "display",
    "flex",
    "flex-direction",
    "flex-wrap",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "gap",
    "grid-template-columns",
    "height",
    "justify-content",
    "align-items",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "opacity",
    "overflow",
    "overflow-x",
    "overflow-y",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-overflow",
    "text-transform",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
    "word-wrap",
}
# Longer style sheets belong to widgets and themes, and take long to parse.
MAX_SHEET = 1_000_000
_WHITE_SPACE = " \t\n\r\f"  # CSS whitespace; any other space is part of a name
# The allowed parts of a selector. Each then matches elements inside the rule's scope only.
_SIMPLE = frozenset({".", ":", "*"})
_COMBINATORS = frozenset({">", "+", "~"})
_FUNCTIONS = frozenset(
    {"not", "is", "where", "nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type", "lang", "dir"}
)
# A backslash could encode any of these, and < could end the style sheet.
_LOADS = re.compile(
    r"url\s*\(|image-set|image\s*\(|src\s*\(|expression|element\s*\(|var\s*\(|attr\s*\(|@|\\|<", re.IGNORECASE
)


def split(fragment: str, scope: str) -> tuple[str, str]:
    """Return a fragment without its style sheets, and their rules, limited to the id `scope`."""
    found = list(tags.elements(fragment, "style", unclosed=True))
    sheets = [style.inside for style in found if len(style.inside) <= MAX_SHEET] if scope else []
    rules = (rule for sheet in sheets for rule in _rules(sheet, scope))
    return tags.replaced(fragment, found), "\n".join(rules)


def is_harmless(css: str) -> bool:
    """Return True if these declarations, or this selector, load nothing and hide nothing."""
    return not _LOADS.search(css)


def _rules(sheet: str, scope: str) -> Iterator[str]:
    for rule in tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True):
        if rule.type != "qualified-rule":
            continue  # @import, @font-face, @media
        try:
            selectors = list(_selectors(rule.prelude))
            declarations = "; ".join(_declarations(rule.content))
        except (ValueError, RecursionError):
            continue
        if declarations:
            scoped = ", ".join(f"#{scope} {selector}" for selector in selectors)
            yield f"{scoped} {{ {declarations} }}"


def _selectors(prelude: list[Any]) -> Iterator[str]:
    """Yield the selectors of a list. Raises ValueError for one that could match an element outside the scope."""
    for parts in _separated(prelude):
        selector = tinycss2.serialize(parts).strip(_WHITE_SPACE)
        first = next((part for part in parts if part.type != "whitespace"), None)
        begins_well = first is not None and not (first.type == "literal" and first.value in _COMBINATORS)
        if not begins_well or not all(map(_is_plain, parts)) or not is_harmless(selector):
            raise ValueError(selector)
        yield selector


def _separated(prelude: list[Any]) -> Iterator[list[Any]]:
    """Yield the parts between commas outside brackets and strings, without comments."""
    parts: list[Any] = []
    for part in prelude:
        if part.type == "literal" and part.value == ",":
            yield parts
            parts = []
        elif part.type != "comment":
            parts.append(part)
    yield parts


def _is_plain(part: Any) -> bool:
    if part.type == "literal":
        return part.value in _SIMPLE or part.value in _COMBINATORS
    if part.type == "function":
        return part.lower_name in _FUNCTIONS
    return part.type in {"ident", "hash", "whitespace", "[] block"}


def _declarations(content: list[Any]) -> Iterator[str]:
    for item in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if item.type != "declaration" or item.lower_name not in PROPERTIES:
            continue
        value = tinycss2.serialize(item.value).strip()
        if is_harmless(value):
            yield f"{item.lower_name}: {value}{' !important' if item.important else ''}"
