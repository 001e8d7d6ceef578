"""Interactive outputs: a chart that carries all it needs runs in a frame of its own; for any other stands a note.

The frame has no origin, no network and no way out. It inherits the page's policy, so that one names, by their hashes, the
scripts of frames, and nothing else in the page is one of them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import tags

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
MAX_FRAME = 10_000_000  # characters of one chart, its library included
MAX_FRAMES = 30_000_000  # characters of all charts of a notebook
_HEIGHT = re.compile(r"\bheight[\"']?\s*[:=]\s*[\"']?([0-9]{2,4})(?:px)?\b")
_SOURCE = re.compile(r"\bsrc=", re.IGNORECASE)
_REACHES_OUT = r"<(?:link|base|meta)\b"
_FROM_ELSEWHERE = re.compile(r"\bsrc\s*=|\btype\s*=\s*[\"']?module", re.IGNORECASE)
_ACTIVE = re.compile(r"<\s*(script|iframe|object|embed|applet|video|audio|form|portal)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Kind:
    """A kind of interactive output: how to know it, what it must carry to run by itself, and how else to get it."""

    name: str
    types: str
    signs: str
    library: str
    advice: str


_HTML_ADVICE = (
    "The executed notebook has it; or write it to a file in outputs/, which is published with the results."
)
KINDS = (
    Kind(
        "Plotly chart",
        r"application/vnd\.plotly\.",
        r"Plotly\.(?:newPlot|react|plot)\b|plotly-graph-div",
        r"plotly\.js v[0-9]",
        'For an interactive file: fig.write_html("outputs/chart.html"). For a chart in this page: '
        "display(HTML(fig.to_html(include_plotlyjs=True))), or a picture of it.",
    ),
    Kind(
        "Bokeh chart",
        r"application/vnd\.bokehjs_",
        r"(?m:^)(?>.*?\bBokeh\b).*\b(?:embed|safely|docs_json)\b|bk-root|data-root-id",
        r"Bokeh\.register_plugin|root\.Bokeh\s*=|BokehJS contributors",
        "For a chart in this page: display(HTML(file_html(figure, INLINE))), from bokeh.embed and bokeh.resources; save it "
        "to outputs/ for a file.",
    ),
    Kind(
        "Vega chart",
        r"application/vnd\.vega",
        r"\bvegaEmbed\b|vega-embed|altair-viz",
        r"vegaEmbed\s*=|vega_embed",
        'For an interactive file: chart.save("outputs/chart.html", inline=True).',
    ),
    Kind(
        "map",
        r"(?!)",
        r"\bL\.map\(|leaflet|mapboxgl|maplibregl",
        r"(?!)",
        'Maps load tiles from the network: save it, m.save("outputs/map.html"), and open that.',
    ),
    Kind(
        "widget",
        r"application/vnd\.jupyter\.widget-view\+json",
        r"(?!)",
        r"(?!)",
        "A widget needs a running kernel: print its value, or draw what it shows as a picture.",
    ),
    Kind("script", r"application/javascript", r"(?!)", r"(?!)", _HTML_ADVICE),
)
_SEARCHED = 200_000  # characters at either end that are searched for a kind's signs
_ENDING = 20_000  # and for how high it wants to be


def kind_of(data: Mapping[str, Any]) -> Kind | None:
    """Return which kind of interactive output this is, by its media types or by what its HTML does; None for none."""
    text = _text(data.get("text/html", ""))
    if _ACTIVE.search(text):
        ends = text[:_SEARCHED] + text[-_SEARCHED:]
        for kind in KINDS:
            if re.search(kind.signs, ends):
                return kind
    return next((kind for kind in KINDS if any(re.match(kind.types, media) for media in data)), None)


def active_parts(fragment: str) -> list[str]:
    """Return the names of what the sanitiser will take out of this HTML and a reader might miss."""
    return sorted({match.group(1).lower() for match in _ACTIVE.finditer(fragment)})


def is_library(data: Mapping[str, Any]) -> bool:
    """Say whether this output shows nothing, and only loads a chart library for those after it."""
    if any(media.startswith("application/vnd.bokehjs_load") for media in data):
        return True
    text = _text(data.get("text/html", ""))
    signs = re.search(r"PlotlyConfig|plotly\.js v[0-9]|BokehJS|bk-notebook-logo", text[:_SEARCHED])
    drawn = re.search(r"Plotly\.(?:newPlot|react)\(\s*[\"']|plotly-graph-div|data-root-id", text[-_SEARCHED:])
    return bool(signs) and not drawn


@dataclass
class Frames:
    """The charts of one page: what they may still hold, the libraries seen, the hashes of their scripts."""

    left: int = MAX_FRAMES
    libraries: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, None] = field(default_factory=dict)

    def keep_library(self, data: Mapping[str, Any]) -> None:
        """Remember a library that the notebook brought whole, for the charts that follow."""
        text = _text(data.get("text/html", ""))
        for kind in KINDS:
            if len(text) <= MAX_FRAME and re.search(kind.library, text) and _runs_alone(text):
                self.libraries[kind.name] = text

    def frame(self, kind: Kind, data: Mapping[str, Any]) -> str | None:
        """Return the chart in a frame, or None where it does not carry all that it needs, or too much."""
        body = _without_mathjax(_text(data.get("text/html", "")))
        if not re.search(kind.library, body) and kind.name in self.libraries and "require(" not in body:
            body = self.libraries[kind.name] + body
        if (
            len(body) > min(MAX_FRAME, self.left)
            or not re.search(kind.library, body)
            or not _runs_alone(body)
        ):
            return None
        body = body.replace("\r\n", "\n").replace("\r", "\n")
        body = tags.replaced(body, tags.tags(body, _REACHES_OUT))
        self.left -= len(body)
        for script in tags.elements(body, "script"):
            digest = base64.b64encode(hashlib.sha256(script.inside.encode()).digest()).decode()
            self.hashes[f"'sha256-{digest}'"] = None
        document = (
            f'<!DOCTYPE html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<style>body{{margin:0;background:#fff}}</style></head><body>{body}</body></html>"
        )
        height = int(next(iter(_HEIGHT.findall(body[-_ENDING:]) or _HEIGHT.findall(body[:_ENDING])), 0))
        return (
            f'<iframe class="nb-chart" sandbox="allow-scripts" title="{kind.name}" '
            f'height="{min(max(height, 300), 1200) + 20}" srcdoc="{html.escape(document)}"></iframe>'
        )

    @property
    def script_policy(self) -> str:
        """What the page's policy must say so that the frames' scripts, and they alone, run."""
        return f"; script-src {' '.join(self.hashes)}" if self.hashes else ""


def note(kind: Kind) -> str:
    """Return what stands in the place of an interactive output that cannot be in a page without a network."""
    return (
        f'<p class="nb-note">An interactive {kind.name} was here. It needs scripts, which this page does not load. '
        f"{html.escape(kind.advice, quote=False)}</p>"
        if kind.name != "script"
        else f'<p class="nb-note">A script was here, and was not taken into this page. {html.escape(kind.advice)}</p>'
    )


def _runs_alone(text: str) -> bool:
    scripts = list(tags.elements(text, "script"))
    return bool(scripts) and not any(_FROM_ELSEWHERE.search(script.attributes) for script in scripts)


def _without_mathjax(text: str) -> str:
    """Return the text without the script that loads MathJax: Plotly uses it for formulas in labels, and does without."""
    loading = (script for script in tags.elements(text, "script") if _loads_mathjax(script))
    return tags.replaced(text, loading)


def _loads_mathjax(script: tags.Element) -> bool:
    source = _SOURCE.search(script.attributes)
    named = source is not None and "mathjax" in script.attributes[source.end() :].lower()
    return named and not script.inside.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value) if isinstance(value, list) else ""
