"""Cuts style sheets down to how things look: the colours of a styled data frame stay, whatever could load or cover goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tinycss2

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
# Longer sheets come with widgets and themes, and take long to read.
MAX_SHEET = 1_000_000
_SHEET = re.compile(r"<style\b[^>]*>(.*?)(?:</style\s*>|\Z)", re.IGNORECASE | re.DOTALL)
# A backslash could spell any of these in another way, < could end the sheet.
_LOADS = re.compile(
    r"url\s*\(|image-set|image\s*\(|src\s*\(|expression|element\s*\(|var\s*\(|attr\s*\(|@|\\|<", re.IGNORECASE
)


def split(fragment: str, scope: str) -> tuple[str, str]:
    """Take the style sheets out of a fragment; return it without them, and the rules that hold within the id `scope`."""
    if "<style" not in fragment.lower():
        return fragment, ""
    sheets = [match.group(1) for match in _SHEET.finditer(fragment)] if scope else []
    rules = (rule for sheet in sheets if len(sheet) <= MAX_SHEET for rule in _rules(sheet, scope))
    return _SHEET.sub("", fragment), "\n".join(rules)


def is_harmless(css: str) -> bool:
    """Say whether these declarations, or this selector, load nothing and hide nothing from a reader of theirs."""
    return not _LOADS.search(css)


def _rules(sheet: str, scope: str) -> Iterator[str]:
    for rule in tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True):
        if rule.type != "qualified-rule":
            continue  # @import, @font-face, @media
        selectors = [part.strip() for part in tinycss2.serialize(rule.prelude).split(",")]
        if not all(part and is_harmless(part) and part.count("(") == part.count(")") for part in selectors):
            continue
        declarations = "; ".join(_declarations(rule.content))
        if declarations:
            scoped = ", ".join(f"#{scope} {part}" for part in selectors)
            yield f"{scoped} {{ {declarations} }}"


def _declarations(content: list[Any]) -> Iterator[str]:
    for item in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if item.type != "declaration" or item.lower_name not in PROPERTIES:
            continue
        value = tinycss2.serialize(item.value).strip()
        if is_harmless(value):
            yield f"{item.lower_name}: {value}{' !important' if item.important else ''}"
