"""Renders one output of a cell as harmless HTML, in its best available form."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import charts, markdown, mathml, pictures
from .charts import REST
from .colours import coloured
from .patience import Patience
from .sanitize import sanitize, svg_image
from .widgets import VIEW, Widgets

MAX_TEXT = 400_000  # characters of one printed text: a few thousand screens
MAX_HTML = 8_000_000  # characters of one piece of HTML
MAX_PICTURE = 20_000_000  # characters of one picture, in base64
MAX_PIXELS = 20_000
MAX_PAGE = 60_000_000  # characters of all outputs
MAX_NAME = 1000  # characters of an object's text form
_NAME = re.compile(r"\s*<[\w. ]+(?: object.*)?>\s*")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class Outputs:
    """Renders the outputs of one notebook, within the limits of a page that a browser opens at once."""

    def __init__(self, folder: Path, patience: Patience, widgets: Widgets) -> None:
        self._patience = patience
        self._widgets = widgets
        self.frames = charts.Frames()
        self._folder = folder
        self._left = MAX_PAGE

    def render(self, output: Mapping[str, Any], scope: str) -> str:
        """Return the output as HTML for the element with the id `scope`; empty if there is nothing to see."""
        rendered = self._patience.attempt(lambda: self._rendered(output, scope))
        if rendered is None:
            return note(f"An output that this page cannot show was here. {REST}")
        if len(rendered) > self._left:
            return note(f"An output of {_megabytes(len(rendered))} was here; this page is full. {REST}")
        self._left -= len(rendered)
        return rendered

    def raw(self, cell: Mapping[str, Any], scope: str) -> str:
        """Return a raw cell as HTML: plain text and HTML as nbconvert shows them, nothing for other formats."""
        metadata = cell.get("metadata", {})
        form = str(metadata.get("raw_mimetype") or metadata.get("format") or "text/plain").lower()
        if form not in {"text/plain", "text/html"}:
            return ""
        data = {"output_type": "display_data", "data": {form: cell.get("source", "")}}
        return self.render(data, scope)

    def _rendered(self, output: Mapping[str, Any], scope: str) -> str:
        kind = output.get("output_type")
        if kind == "stream":
            name = "nb-stderr" if output.get("name") == "stderr" else "nb-stdout"
            return _printed(_joined(output.get("text", "")), name)
        return error(output) if kind == "error" else self._data(output, scope)

    def _data(self, output: Mapping[str, Any], scope: str) -> str:
        data = {media: _joined(value) for media, value in output.get("data", {}).items()}
        if charts.is_library(data):
            self.frames.keep_library(data)
            return ""
        kind = charts.kind_of(data)
        if kind is not None:
            return (
                self.frames.frame(kind, data)
                or self._widget(output, scope)
                or _still(data | charts.first_frame(data)) + charts.note(kind)
            )
        metadata = output.get("metadata", {})
        forms: tuple[tuple[str, Callable[[str], str]], ...] = (
            ("text/html", lambda text: _html(pictures.embedded(text, self._folder), scope)),
            (
                "text/markdown",
                lambda text: f'<div class="nb-text">{markdown.render(text, self._folder, {}, scope)}</div>',
            ),
            ("image/svg+xml", lambda text: svg_image(text) if len(text) <= MAX_PICTURE else ""),
            ("text/latex", lambda text: f'<div class="nb-text">{mathml.from_output(text)}</div>'),
            *((media, _picture(media, metadata.get(media, {}))) for media in _PICTURES),
            ("application/json", lambda text: _printed(text, "nb-result")),
            ("text/plain", lambda text: _printed(text, "nb-result")),
        )
        for media, render in forms:
            if media in data and (rendered := _or_nothing(render, data[media])):
                return rendered
        names = ", ".join(sorted(data)) or "nothing"
        return (
            note(f"An output in a form that this page cannot show was here ({names[:200]}). {REST}")
            if data
            else ""
        )

    def _widget(self, output: Mapping[str, Any], scope: str) -> str:
        """Return a widget as the text that it shows; empty if it shows none."""
        held: list[str] = []  # outputs of Output widgets, which are sanitized already

        def hold(inner: Mapping[str, Any]) -> str:
            if VIEW not in inner.get("data", {}):  # a widget in itself would have no end
                held.append(self._rendered(inner, scope))
            return ""

        shown = self._widgets.render(output.get("data", {}).get(VIEW), hold)
        return (_html(shown, scope) if shown.strip() else "") + "".join(held)


def _or_nothing(render: Callable[[str], str], text: str) -> str:
    """Return one form of an output as HTML; empty if a library refuses it, so that the next form is used."""
    try:
        return render(text)
    except Exception:  # noqa: BLE001 - libraries raise whatever their lists and dictionaries do
        return ""


def note(text: str) -> str:
    """Return a note of the page itself."""
    return f'<p class="nb-note">{html.escape(text)}</p>'


def error(output: Mapping[str, Any]) -> str:
    """Return a traceback with its colours."""
    lines = output.get("traceback") or [f"{output.get('ename', '')}: {output.get('evalue', '')}"]
    return _printed("\n".join(map(str, lines)), "nb-error")


def _html(fragment: str, scope: str) -> str:
    if len(fragment) > MAX_HTML:
        return note(f"A piece of HTML of {_megabytes(len(fragment))} was here. {REST}")
    cleaned = sanitize(fragment, scope) + charts.left_out(fragment)
    return f'<div class="nb-html">{cleaned}</div>' if cleaned.strip() else ""


def _still(data: Mapping[str, str]) -> str:
    """Return the picture or the text that an interactive output includes, if any."""
    for media in _PICTURES:
        if media in data and (picture := _picture(media, {})(data[media])):
            return picture
    text = data.get("text/plain", "")
    return (
        ""
        if (len(text) <= MAX_NAME and _NAME.fullmatch(text)) or "{" in text
        else _printed(text, "nb-result")
    )


def _picture(media: str, metadata: Any) -> Callable[[str], str]:
    def render(encoded: str) -> str:
        if len(encoded) > MAX_PICTURE:
            return note(f"A picture of {_megabytes(len(encoded))} was here. {REST}")
        if not _BASE64.fullmatch(encoded):
            return ""
        known = metadata if isinstance(metadata, dict) else {}
        sizes = {name: known.get(name) for name in ("width", "height")}
        size = "".join(
            f' {name}="{value:.0f}"'
            for name, value in sizes.items()
            if isinstance(value, int | float) and 0 < value < MAX_PIXELS
        )
        alt = html.escape(str(known.get("alt", "picture")))
        return f'<img alt="{alt}"{size} src="data:{media};base64,{"".join(encoded.split())}">'

    return render


def _printed(text: str, name: str) -> str:
    """Return text as a terminal shows it, with colours."""
    if not text.strip():
        return ""
    more = ""
    if len(text) > MAX_TEXT:
        more = note(f"{len(text) - MAX_TEXT:,} of {len(text):,} characters were left out here. {REST}")
        text = f"{text[: MAX_TEXT // 2]}\n\n[…]\n\n{text[-MAX_TEXT // 2 :]}"
    return f'<pre class="{name}">{sanitize(coloured(_overwritten(text)))}</pre>{more}'


def _overwritten(text: str) -> str:
    """Return the text as a terminal shows it at the end: without text that a carriage return overwrites."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _joined(value: Any) -> str:
    """Return a value of a media bundle as text; JSON ones as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "".join(value)
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _megabytes(characters: int) -> str:
    return f"{characters / 1e6:.1f} MB"
