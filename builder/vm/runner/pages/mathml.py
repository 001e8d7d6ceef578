"""Converts TeX to MathML, which browsers draw without scripts; TeX that cannot be converted stays readable text."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from latex2mathml.converter import convert

# Longer formulas take too long.
MAX_TEX = 10_000
_ELEMENTS = {
    *(
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "mstyle",
        "mpadded",
    ),
    *("mphantom", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts"),
    *("mtable", "mtr", "mtd", "menclose"),
}
_ATTRIBUTES = {
    *(
        "accent",
        "accentunder",
        "columnalign",
        "columnlines",
        "columnspacing",
        "depth",
        "display",
        "displaystyle",
    ),
    *(
        "fence",
        "form",
        "height",
        "linethickness",
        "lspace",
        "mathbackground",
        "mathcolor",
        "mathsize",
        "mathvariant",
    ),
    *("maxsize", "minsize", "movablelimits", "notation", "rowlines", "rowspacing", "rspace", "scriptlevel"),
    *("separator", "stretchy", "voffset", "width"),
}
_VALUE = re.compile(r"[\w.,#%+ -]{0,60}")
_SPACE = "{http://www.w3.org/1998/Math/MathML}"
_DELIMITER = re.compile(r"\$\$?|\\[\[\]()]")
_OPENING = frozenset({"$", "$$", "\\[", "\\("})
_CLOSING = frozenset({"$", "$$", "\\]", "\\)"})


def formula(tex: str, *, display: bool) -> str:
    """Return the formula as MathML, or as readable TeX if the converter does not support it."""
    if len(tex) > MAX_TEX:
        return _source(tex, display=display)
    try:
        converted = convert(tex, display="block" if display else "inline")
        return _rebuilt(ET.fromstring(converted))  # noqa: S314 - it has no document type, so no entities
    except Exception:  # noqa: BLE001 - the converter raises whatever its lists and dictionaries do
        return _source(tex, display=display)


def from_output(latex: str) -> str:
    """Return a cell's text/latex output: formulas between their delimiters, or one environment."""
    text = latex.strip()
    parts = list(_formulas(text))
    if not parts:
        return formula(text, display=True)
    pieces, end = [], 0
    for opening, closing in parts:
        pieces.append(html.escape(text[end : opening.start()]))
        alone = opening.start() == 0 and closing.end() == len(text)
        tex = text[opening.end() : closing.start()]
        pieces.append(formula(tex, display=alone or opening.group() in {"$$", "\\["}))
        end = closing.end()
    return "".join(pieces) + html.escape(text[end:])


def _formulas(text: str) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Yield the two delimiters of each formula, in order. The first possible end closes a formula."""
    opening = None
    for delimiter in _DELIMITER.finditer(text):
        if opening is None:
            opening = delimiter if delimiter.group() in _OPENING else None
        elif delimiter.group() in _CLOSING:
            yield opening, delimiter
            opening = None


def _source(tex: str, *, display: bool) -> str:
    mark = "$$" if display else "$"
    return f'<code class="nb-tex">{html.escape(f"{mark}{tex}{mark}")}</code>'


def _rebuilt(node: ET.Element) -> str:
    """Return the element, rebuilt from known MathML only. Raises ValueError for anything else in it."""
    name = node.tag.removeprefix(_SPACE)
    text = node.text or ""
    if name not in _ELEMENTS or text.lstrip().startswith(
        "\\"
    ):  # the converter returns an unknown command as its name
        raise ValueError(name)
    attributes = "".join(
        f' {key}="{html.escape(value)}"'
        for key, value in node.attrib.items()
        if key in _ATTRIBUTES and _VALUE.fullmatch(value)
    )
    inside = html.escape(text) + "".join(_rebuilt(child) + html.escape(child.tail or "") for child in node)
    return f"<{name}{attributes}>{inside}</{name}>"
