"""The pages in a real browser: nothing runs, nothing is fetched, and charts draw in their frames.

Needs Chromium (Debian, Ubuntu: apt-get install chromium).
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builder.vm.runner.pages.page import pages
from tests.needs import CHROMIUM
from tests.patience import PATIENCE

from .hostile import book, payloads

pytestmark = pytest.mark.needs("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--virtual-time-budget=3000", "--window-size=900,700"),
)  # fmt: skip
DO = "document.title=String.fromCharCode(80,87,78)"
PINK = b"\xff\x00\xff"


@dataclass
class Listener:
    """A server that nobody should ask; `asked` holds the paths that somebody did."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def browse(page: str, folder: Path, *flags: str) -> str:
    """Open the page; return what Chromium prints."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="chromium-", dir=folder, ignore_cleanup_errors=True) as profile:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout


def test_nothing_of_the_corpus_runs_or_asks(listener: Listener, tmp_path: Path) -> None:
    texts = payloads(DO, listener.url)
    for made in pages(book(texts), "honest", tmp_path):
        seen = browse(made, tmp_path, "--dump-dom")
        assert "<title>honest</title>" in seen
        assert "PWN" not in seen.partition("<body>")[0]
        assert "imitates the page" in seen  # the browser got to see what the corpus is made of
        for active in ("<script", "<iframe", "<object", "<embed", "<link", "<base", "<form", "<svg"):
            assert active not in seen
    assert listener.asked == []


def test_the_corpus_would_run_and_ask(listener: Listener, tmp_path: Path) -> None:
    """Without sanitizing, the payloads run and send requests, so the test above can fail."""
    ran = 0
    for text in payloads(DO, listener.url)[:4]:
        raw = f"<!DOCTYPE html><title>honest</title><body>{text}</body>"
        ran += "<title>PWN</title>" in browse(raw, tmp_path, "--dump-dom")
    raw = f"<!DOCTYPE html><img src={listener.url}/direct>"
    browse(raw, tmp_path, "--dump-dom")
    assert ran >= 2
    assert "/direct" in listener.asked


def chart(script: str) -> dict[str, Any]:
    """A notebook with one chart that carries its library."""
    text = (
        f"<script>/* plotly.js v3.1.0 */ window.Plotly = {{newPlot: () => {{ {script} }}}}</script>"
        '<div class="plotly-graph-div" style="height:600px"></div><script>Plotly.newPlot("c")</script>'
    )
    output = {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}
    cell = {"cell_type": "code", "source": "x", "metadata": {}, "execution_count": 1, "outputs": [output]}
    return {"cells": [cell], "metadata": {}}


def pixels(page: str, folder: Path) -> bytes:
    """The page's picture as raw bytes of RGB or RGBA, with the filters of PNG undone."""
    picture = folder / "page.png"
    browse(page, folder, f"--screenshot={picture}")
    data, at, packed = picture.read_bytes(), 8, b""
    width = depth = 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IHDR":
            width, _, _, colour = struct.unpack(">IIBB", data[at + 8 : at + 18])
            depth = 4 if colour == 6 else 3
        elif kind == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    return _unfiltered(zlib.decompress(packed), width * depth, depth)


def _unfiltered(raw: bytes, row: int, depth: int) -> bytes:
    found, before = bytearray(), bytearray(row)
    for start in range(0, len(raw), row + 1):
        line = bytearray(raw[start + 1 : start + 1 + row])
        for i in range(row):
            left, up, corner = (
                (line[i - depth], before[i], before[i - depth]) if i >= depth else (0, before[i], 0)
            )
            line[i] = (line[i] + _predicted(raw[start], left, up, corner)) & 255
        found += line
        before = line
    return bytes(found)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def test_an_output_hides_no_other_one(tmp_path: Path) -> None:
    """Selectors that reach for what follows, and margins that lay a box over what stands before."""
    escaping = (
        *("~ *", "/**/~ *", "b, ~ *", "\u00a0~ *", "& ~ *", "b { & ~ *", "+ *", "b {} ~ *", "> *, ~ *", "|| *", "* || *"),
        *(":scope ~ *", ":root *", "html *", ":is(:root *)", ":not(b) ~ *", ":host ~ *", "b:has(+ *), * ", "*|* ~ *", "::slotted(*)"),
    )  # fmt: skip
    sheets = "".join(f"<style>{selector} {{ display: none }}</style>" for selector in escaping)
    cover = '<div style="margin-top:-400px;height:400px;background:#fff"><b>x</b></div>'
    pink = '<div style="background:#f0f;height:100px"></div>'
    markdown = {"cell_type": "markdown", "metadata": {}}
    code = {"cell_type": "code", "source": "", "metadata": {}, "execution_count": 1}
    shown = [
        {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}
        for text in (sheets, pink, cover)
    ]
    cells = [{**markdown, "source": sheets}, {**code, "outputs": shown}, {**markdown, "source": cover}]
    made = pages({"cells": cells, "metadata": {}}, "honest", tmp_path)[0]
    assert pixels(made, tmp_path).count(PINK) > 50_000


def test_a_chart_draws_in_its_frame(tmp_path: Path) -> None:
    made = pages(chart("document.body.style.background = '#f0f'"), "honest", tmp_path)[0]
    assert pixels(made, tmp_path).count(PINK) > 50_000


def test_a_chart_reaches_neither_the_network_nor_the_page(listener: Listener, tmp_path: Path) -> None:
    tries = [
        "try { parent.document.title = 'PWN' } catch (e) {}",
        "try { top.location = '%s/top' } catch (e) {}",
        "try { localStorage.x = 1; document.title = 'PWN' } catch (e) {}",
        "fetch('%s/fetch').catch(() => 0); new Image().src = '%s/image'; navigator.sendBeacon('%s/beacon')",
        "var s = document.createElement('script'); s.src = '%s/script'; document.body.append(s)",
        "var l = document.createElement('link'); l.rel = 'stylesheet'; l.href = '%s/css'; document.head.append(l)",
        "var f = document.createElement('iframe'); f.src = '%s/frame'; document.body.append(f)",
        "window.open('%s/open'); try { new WebSocket('ws' + '%s/ws'.slice(4)) } catch (e) {}",
        "location = '%s/self'",
    ]
    script = ";".join(tries).replace("%s", listener.url)
    made = pages(chart(script), "honest", tmp_path)[0]
    assert "<title>honest</title>" in browse(made, tmp_path, "--dump-dom")
    assert listener.asked == []


def test_a_script_beside_a_chart_does_not_run(tmp_path: Path) -> None:
    """The policy of a page with charts names their scripts; even one that got past the sanitiser stays dead."""
    made = pages(chart("0"), "honest", tmp_path)[0]
    forced = made.replace("</main>", f"<script>{DO}</script><img src=x onerror={DO}></main>")
    assert forced != made
    assert "<title>honest</title>" in browse(forced, tmp_path, "--dump-dom")
