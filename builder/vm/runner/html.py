"""Turns the executed notebook into two pages that nothing can be run from: with code, and without.

nbconvert makes the body, nh3 keeps only what is harmless, and a strict policy in the head is the second lock.
Runs in a process of its own, so that a notebook of any size costs the runner neither memory nor time.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import nh3
from nbconvert.exporters.html import HTMLExporter
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]  # it has no stubs
from traitlets.config import Config

CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
STYLE = Path(__file__).with_name("page.css")
TAGS = nh3.ALLOWED_TAGS | {"section"}
GLOBAL_ATTRIBUTES = {"class", "id", "title", "lang", "dir", "align", "colspan", "rowspan", "scope"}
ATTRIBUTES = {
    "*": GLOBAL_ATTRIBUTES,
    "a": {"href", "hreflang"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"headers"},
    "th": {"headers"},
}
IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp|svg\+xml)[;,]", re.IGNORECASE)
LINK = re.compile(r"(?:https?:|mailto:|#)", re.IGNORECASE)


def page(notebook: Any, name: str, folder: Path, *, code: bool) -> str:
    """Return the notebook as one HTML page that needs nothing from anywhere."""
    options = {"exclude_input": not code, "exclude_input_prompt": not code, "exclude_output_prompt": not code}
    exporter = HTMLExporter(
        template_name="basic",
        extra_template_basedirs=_templates(),
        extra_template_paths=_templates(),
        embed_images=True,
        # The template sends each piece that a notebook contributes through this filter, so that no piece can
        # swallow what follows it with an element that it never closes.
        sanitize_html=True,
        filters={"clean_html": sanitize},
        config=Config({"TemplateExporter": options}),
    )
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name, "path": str(folder)}})
    style = STYLE.read_text(encoding="utf-8") + HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(name)}</title><style>{style}</style></head>\n"
        f"<body><main>{sanitize(body)}</main></body></html>\n"
    )


def _templates() -> list[str]:
    """Return where nbconvert's templates lie in the kit; elsewhere it finds its own."""
    folders = [Path(entry, "share", "jupyter", "nbconvert", "templates") for entry in sys.path if entry]
    return [str(folder) for folder in folders if folder.is_dir()]


def sanitize(body: str | bytes) -> str:
    """Keep text, tables, images that are data, and links; drop whatever could run or load something."""
    return nh3.clean(
        body.decode("utf-8", "replace") if isinstance(body, bytes) else body,
        tags=TAGS,
        clean_content_tags={"script", "style"},
        attributes=ATTRIBUTES,
        attribute_filter=_harmless,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )


def _harmless(_tag: str, attribute: str, value: str) -> str | None:
    if attribute == "src":
        return value if IMAGE.match(value) else None
    if attribute == "href":
        return value if LINK.match(value) else None
    return value


def as_images(notebook: Any) -> Any:
    """Turn SVG outputs into images: shown by <img>, an SVG runs no script and loads nothing. Frames become text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("text/html", None)
            data = output.get("data", {})
            if "image/svg+xml" in data:
                encoded = base64.b64encode("".join(data.pop("image/svg+xml")).encode()).decode()
                data["text/html"] = f'<img alt="chart" src="data:image/svg+xml;base64,{encoded}">'
    return notebook


def main(arguments: list[str]) -> int:
    """Read the notebook at the first path; write NAME.html and NAME-clean.html into the folder at the fourth."""
    source, name, folder, target = Path(arguments[0]), arguments[1], Path(arguments[2]), Path(arguments[3])
    notebook = as_images(nbformat.read(source, as_version=4))
    (target / f"{name}.html").write_text(page(notebook, name, folder, code=True), encoding="utf-8")
    (target / f"{name}-clean.html").write_text(page(notebook, name, folder, code=False), encoding="utf-8")
    return 0
