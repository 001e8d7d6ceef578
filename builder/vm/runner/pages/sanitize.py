"""Sanitises a notebook's HTML: keeps text, tables, colours, images as data, and links.

Each piece is sanitised alone, so that an unclosed element cannot enclose what follows. The page's own elements have
classes and ids that begin with `nb-`, which no piece may use.
"""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import nh3

from . import styles, tags

TAGS = (nh3.ALLOWED_TAGS - {"area", "map"}) | {"section", "tfoot", "label"}
_GLOBAL = {
    "align",
    "class",
    "colspan",
    "dir",
    "id",
    "lang",
    "role",
    "rowspan",
    "scope",
    "style",
    "title",
    "valign",
}
ATTRIBUTES = {
    "*": _GLOBAL,
    "a": {"href", "hreflang", "name"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start", "type"},
    "td": {"headers"},
    "th": {"headers"},
    "details": {"open"},
    "col": {"span"},
    "colgroup": {"span"},
}
_WITH_CONTENT = {
    "audio",
    "iframe",
    "math",
    "noscript",
    "object",
    "script",
    "select",
    "style",
    "svg",
    "template",
    "title",
    "video",
}
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp|svg\+xml)[;,]", re.IGNORECASE)
# Addresses, places in the page, and the notebook's outputs, which are published beside the page.
_LINK = re.compile(r"https?:|mailto:|#|(?:\./)?outputs/[^:]*\Z", re.IGNORECASE)
MAX_DEPTH = 500  # nested elements; the parser takes quadratic time
MAX_AMPERSANDS = 20_000  # in one text between two tags, for the same reason
_AMPERSAND = re.compile(r"&(?!lt;|gt;|quot;|#)")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
# Elements without a required closing tag: the next one of the kind ends them.
_UNCLOSED = {
    *(
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ),
    *("p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup"),
}
_SVG_SPACE = "http://www.w3.org/2000/svg"


def sanitize(fragment: str, scope: str = "") -> str:
    """Return the harmless part of a fragment of HTML, every element closed.

    Drawings become images. Style sheets remain only if `scope` is the id of the element around the fragment; their
    rules then apply to its content only. Raises ValueError for HTML that would take the parser quadratic time.
    """
    fragment, sheet = styles.split(fragment, scope)
    drawings = tags.elements(fragment, "svg")
    fragment = tags.replaced(
        fragment, drawings, lambda drawing: svg_image(fragment[drawing.start : drawing.end])
    )
    _refuse_ampersands(fragment)
    _refuse_depth(fragment)
    cleaned = nh3.clean(
        fragment,
        tags=TAGS,
        clean_content_tags=_WITH_CONTENT,
        attributes=ATTRIBUTES,
        attribute_filter=_harmless,
        filter_style_properties=styles.PROPERTIES,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )
    return f"<style>{sheet}</style>{cleaned}" if sheet else cleaned


def _refuse_ampersands(fragment: str) -> None:
    many = (text for text in fragment.split("<") if text.count("&") > MAX_AMPERSANDS)
    if any(len(_AMPERSAND.findall(text)) > MAX_AMPERSANDS for text in many):
        raise ValueError(f"more than {MAX_AMPERSANDS} ampersands in one text")


def _refuse_depth(fragment: str) -> None:
    """Raise ValueError if elements are nested too deep."""
    opened: dict[str, int] = {}
    depth = 0
    for closing, tag in _TAG.findall(fragment):
        name = tag.lower()
        if name in _UNCLOSED:
            continue
        if not closing:
            opened[name] = opened.get(name, 0) + 1
            depth += 1
        elif opened.get(name):
            opened[name] -= 1
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} elements inside of one another")


def svg_image(svg: str) -> str:
    """Return an SVG document as an <img>, which runs no script and loads nothing; empty for other text."""
    # Matplotlib writes a declaration and a document type before the tag.
    tag = re.search(r"<svg\b[^>]*", svg, flags=re.IGNORECASE)
    if tag is not None and "xmlns=" not in tag.group():
        svg = re.sub(r"<svg\b", f'<svg xmlns="{_SVG_SPACE}"', svg, count=1, flags=re.IGNORECASE)
    if "xlink:" in svg and "xmlns:xlink" not in svg:
        svg = svg.replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1)
    try:
        ET.fromstring(svg)  # noqa: S314 - only whether it is XML; expat limits what entities may become
    except (ET.ParseError, ValueError):
        return ""
    encoded = base64.b64encode(svg.encode("utf-8", "replace")).decode()
    return f'<img alt="drawing" src="data:image/svg+xml;base64,{encoded}">'


def _harmless(_tag: str, attribute: str, value: str) -> str | None:
    if attribute == "src":
        return value if _IMAGE.match(value) else None
    if attribute == "href":
        return value if _LINK.match(value) else None
    if attribute == "style":
        return value if styles.is_harmless(value) else None
    if attribute in {"id", "name"}:
        return None if value.startswith("nb-") else value
    if attribute == "class":
        return " ".join(name for name in value.split() if not name.startswith("nb-"))
    return value
