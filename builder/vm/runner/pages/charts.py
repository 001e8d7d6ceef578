"""Renders interactive outputs: a self-contained chart runs in a frame; any other becomes a note.

The frame has no origin and no network. It inherits the page's policy, which therefore allows the frames' scripts by
their hashes, and no others.
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
# Begins every script of a frame. No policy of a page stops WebRTC, so what it needs is taken away. A frame within the
# frame has it again, and can run only the scripts whose hashes the policy names: those that begin with this.
GUARD = (
    'for(const n of["RTCPeerConnection","webkitRTCPeerConnection","WebTransport"])'
    "Object.defineProperty(self,n,{value:void 0});\n"
)
REST = "The executed notebook has all of it."
MAX_FRAME = 10_000_000  # characters of one chart, its library included
MAX_FRAMES = 30_000_000  # characters of all charts of a notebook
_HEIGHT = re.compile(r"\bheight[\"']?\s*[:=]\s*[\"']?([0-9]{2,4})(?:px)?\b")
_SOURCE = re.compile(r"\bsrc=", re.IGNORECASE)
_REACHES_OUT = r"<(?:link|base|meta)\b"
_FROM_ELSEWHERE = re.compile(r"\bsrc\s*=|\btype\s*=\s*[\"']?module", re.IGNORECASE)
# A script of another type is data, which the browser does not run.
_DATA = re.compile(
    r"""(?<![\w-])type\s*+=\s*+["']?\s*+(?!(?:text|application)/(?:java|ecma)script\b)[^\s"'>]""",
    re.IGNORECASE,
)
_FIRST_FRAME = re.compile(r'frames\[0\] = "data:(image/[a-z]+);base64,([^"]+)"')
_ACTIVE = re.compile(r"<\s*(script|iframe|object|embed|applet|video|audio|form|portal)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Kind:
    """A kind of interactive output: its signs, what it needs to run by itself, and an alternative for the reader."""

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
    Kind(
        "Matplotlib chart",
        r"(?!)",
        r"\bmpl\.(?:mpl_figure_comm|figure\s*=)",
        r"(?!)",
        "It comes from %matplotlib notebook, and only a running Jupyter draws it. Use %matplotlib inline instead: each "
        "cell then shows a picture of what it draws.",
    ),
    Kind(
        "Matplotlib animation",
        r"(?!)",
        r"new Animation\(frames",
        r"(?!)",
        'For an animation in this page: animation.save("outputs/animation.gif", writer="pillow"), and '
        'Image("outputs/animation.gif").',
    ),
    Kind("script", r"application/javascript", r"(?!)", r"(?!)", _HTML_ADVICE),
)
_SEARCHED = 200_000  # characters at each end that are searched for a kind's signs
_ENDING = 20_000  # and for its height


def kind_of(data: Mapping[str, Any]) -> Kind | None:
    """Return the kind of an interactive output, by its media types, HTML, or script; None for another output."""
    text = _text(data.get("text/html", ""))
    text = text if _ACTIVE.search(text) else _text(data.get("application/javascript", ""))
    if text:
        ends = text[:_SEARCHED] + text[-_SEARCHED:]
        for kind in KINDS:
            if re.search(kind.signs, ends):
                return kind
    return next((kind for kind in KINDS if any(re.match(kind.types, media) for media in data)), None)


def left_out(fragment: str) -> str:
    """Return a note of the parts that the sanitiser removes from this HTML, and that a reader could miss, or ""."""
    before, *comments = fragment.split("<!--")
    shown = before + "".join(comment.partition("-->")[2] for comment in comments)
    parts = sorted({match.group(1).lower() for match in _ACTIVE.finditer(shown)})
    said = f"Left out here: {', '.join(parts)}. This page runs and loads nothing. {REST}"
    return f'<p class="nb-note">{said}</p>' if parts else ""


def first_frame(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the first picture of an animation of Matplotlib by its media type; empty without one."""
    found = _FIRST_FRAME.search(_text(data.get("text/html", "")))
    return {found[1]: found[2].replace("\\\n", "")} if found else {}


def is_library(data: Mapping[str, Any]) -> bool:
    """Return True if this output shows nothing, and only loads a library for later charts."""
    if any(media.startswith("application/vnd.bokehjs_load") for media in data):
        return True
    text = _text(data.get("text/html", ""))
    signs = re.search(r"PlotlyConfig|plotly\.js v[0-9]|BokehJS|bk-notebook-logo", text[:_SEARCHED])
    drawn = re.search(r"Plotly\.(?:newPlot|react)\(\s*[\"']|plotly-graph-div|data-root-id", text[-_SEARCHED:])
    return bool(signs) and not drawn


@dataclass
class Frames:
    """The charts of one page: the remaining size, the libraries, and the hashes of their scripts."""

    left: int = MAX_FRAMES
    libraries: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, None] = field(default_factory=dict)

    def keep_library(self, data: Mapping[str, Any]) -> None:
        """Keep a library that the notebook includes completely, for later charts."""
        text = _text(data.get("text/html", ""))
        for kind in KINDS:
            if len(text) <= MAX_FRAME and re.search(kind.library, text) and _runs_alone(text):
                self.libraries[kind.name] = text

    def frame(self, kind: Kind, data: Mapping[str, Any]) -> str | None:
        """Return the chart in a frame; None if it is not self-contained, or too large."""
        body = _without_mathjax(_text(data.get("text/html", "")))
        if not body:
            return None
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
        body, scripts = _guarded(body)
        for script in scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
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
        """Return the part of the page's policy that allows the frames' scripts only."""
        return f"; script-src {' '.join(self.hashes)}" if self.hashes else ""


def note(kind: Kind) -> str:
    """Return the note that replaces an interactive output that needs a network."""
    return (
        f'<p class="nb-note">An interactive {kind.name} was here. It needs scripts, which this page does not load. '
        f"{html.escape(kind.advice, quote=False)}</p>"
        if kind.name != "script"
        else f'<p class="nb-note">A script was here, and was not taken into this page. {html.escape(kind.advice)}</p>'
    )


def _runs_alone(text: str) -> bool:
    scripts = list(tags.elements(text, "script"))
    return bool(scripts) and not any(_FROM_ELSEWHERE.search(script.attributes) for script in scripts)


def _guarded(body: str) -> tuple[str, list[str]]:
    """Return the HTML with the guard at the beginning of each script, and the scripts."""
    made, scripts, at = [], [], 0
    for script in tags.elements(body, "script"):
        if _DATA.search(script.attributes):
            continue
        begin = script.start + len(f"<script{script.attributes}>")
        made += [body[at:begin], GUARD]
        scripts.append(GUARD + script.inside)
        at = begin
    return "".join([*made, body[at:]]), scripts


def _without_mathjax(text: str) -> str:
    """Return the text without the script that loads MathJax, which Plotly uses for formulas in labels only."""
    loading = (script for script in tags.elements(text, "script") if _loads_mathjax(script))
    return tags.replaced(text, loading)


def _loads_mathjax(script: tags.Element) -> bool:
    source = _SOURCE.search(script.attributes)
    named = source is not None and "mathjax" in script.attributes[source.end() :].lower()
    return named and not script.inside.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value) if isinstance(value, list) else ""
