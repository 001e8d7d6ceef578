"""A chart in a frame reaches nobody, by none of the ways that a browser has beside HTTP."""

from __future__ import annotations

import contextlib
import html
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.vm.runner.pages.page import pages
from tests.needs import CHROMIUM
from tests.patience import PATIENCE

from .test_pages_browser import FLAGS, chart

pytestmark = pytest.mark.needs("chromium")
HOST = "exfiltrated.example"


# Packets take real time. A page without protection shows how long; the page under test gets twice as long, and at least
# this.
MIN_SECONDS = 3.0


def open_page(
    page: str, folder: Path, seen: Callable[[], object], seconds: float = PATIENCE, *flags: str
) -> float:
    """Open the page until something is seen, or for so many seconds; return how many it was open."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="chromium-", dir=folder, ignore_cleanup_errors=True) as profile:
        given = (flag for flag in FLAGS if not flag.startswith(("--virtual-time", "--disable-quic")))
        command = [str(CHROMIUM), *given, f"--user-data-dir={profile}", *flags, file.as_uri()]
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not seen() and time.monotonic() - began < seconds:
                time.sleep(0.05)
            process.terminate()
            process.wait(PATIENCE)
    return time.monotonic() - began


class Packets:
    """A UDP port that nobody should write to; `received` has the senders' packets."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ending.is_set():
            try:
                self.received.append(self._socket.recv(4096))
            except TimeoutError:
                continue

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def packets() -> Iterator[Packets]:
    made = Packets()
    yield made
    made.close()


def seconds_without_protection(page: Callable[[int], str], folder: Path) -> float:
    """Return how long a page is open until its packets leave for a port, which must happen: the test can fail."""
    with contextlib.closing(Packets()) as control:
        took = open_page(page(control.port), folder, lambda: control.received)
        assert control.received
    return took


def rtc(port: int) -> str:
    return (
        "for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection']) try {"
        f"const c = new self[name]({{iceServers: [{{urls: 'stun:127.0.0.1:{port}'}}]}});"
        "c.createDataChannel('x'); c.createOffer().then(o => c.setLocalDescription(o)) } catch (e) {}"
    )


def transport(port: int) -> str:
    return f"try {{ new WebTransport('https://127.0.0.1:{port}/x').ready.catch(() => 0) }} catch (e) {{}}"


WAYS = {"WebRTC": rtc, "WebTransport": transport}


@pytest.mark.parametrize("way", WAYS)
def test_no_packet_leaves_a_charts_frame(way: str, packets: Packets, tmp_path: Path) -> None:
    took = seconds_without_protection(
        lambda port: f"<!DOCTYPE html><script>{WAYS[way](port)}</script>", tmp_path
    )
    made = pages(chart(WAYS[way](packets.port)), "honest", tmp_path)[0]
    open_page(made, tmp_path, lambda: packets.received, MIN_SECONDS + 2 * took)
    assert packets.received == []


@pytest.mark.parametrize("data", ["", ' type="application/json"'], ids=["a script", "data"])
def test_no_packet_leaves_a_frame_within_a_charts_frame(data: str, packets: Packets, tmp_path: Path) -> None:
    """A script whose hash the page's policy names may run in a further frame, in which nothing was taken away."""

    def framed(port: int) -> str:
        inner = html.escape(f"<script>{rtc(port)}</script>")
        return f'<iframe srcdoc="{inner}"></iframe>'

    took = seconds_without_protection(lambda port: f"<!DOCTYPE html>{framed(port)}", tmp_path)
    book = chart("0")
    book["cells"][0]["outputs"][0]["data"]["text/html"] += (
        f"<script{data}>{rtc(packets.port)}</script>{framed(packets.port)}"
    )
    made = pages(book, "honest", tmp_path)[0]
    open_page(made, tmp_path, lambda: packets.received, MIN_SECONDS + 2 * took)
    assert packets.received == []


def test_no_name_is_looked_up(tmp_path: Path) -> None:
    """The names that a page's links and a chart's hints would reveal to a name server."""
    log = tmp_path / "net.json"
    hints = "".join(
        f"<link rel={rel} href=http://{rel}.{HOST}>"
        for rel in ("dns-prefetch", "preconnect", "prefetch", "preload")
    )
    script = (
        f"document.head.insertAdjacentHTML('beforeend', '{hints}');"
        f"document.body.insertAdjacentHTML('beforeend', '<a href=http://anchor.{HOST}>x</a>')"
    )
    bare = f"<!DOCTYPE html><body><script>{script}</script>"
    logged = f"--log-net-log={log}"
    took = open_page(bare, tmp_path, lambda: looked_up(log), PATIENCE, logged)
    assert looked_up(log)  # without a frame, names are looked up: the test can fail
    log.unlink()
    made = pages(chart(script), "honest", tmp_path)[0]
    open_page(made, tmp_path, lambda: looked_up(log), MIN_SECONDS + 2 * took, logged)
    assert log.stat().st_size
    assert looked_up(log) == []


def looked_up(log: Path) -> list[str]:
    """Return the names in Chromium's log of the network that end in HOST; none before there is a log."""
    text = log.read_text() if log.exists() else ""
    return re.findall(rf"[\w-]+\.{re.escape(HOST)}", text)
