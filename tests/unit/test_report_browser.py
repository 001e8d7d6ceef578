"""The report's page in a real browser: it asks nothing, has no error, works by keyboard, and axe finds nothing serious.

Needs Chromium (Debian, Ubuntu: apt-get install chromium).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import axe_core_python
import pytest

from builder.errors import ExitCode
from builder.report.index import render_index
from builder.report.run_report import RunReport
from tests.unit.sample_reports import GREEN, LOST, RED, job, large, report
from tests.unit.test_report_files import hostile_report
from tests.vm.hostile import payloads
from tests.vm.test_pages_browser import DO, Listener, browse, listener

__all__ = ["listener"]
pytestmark = pytest.mark.needs("chromium")
AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
DARK = "--blink-settings=preferredColorScheme=0"
MIXED = report(job("demo", GREEN), job("bad", RED), job("lost", LOST), code=ExitCode.NOTEBOOK_FAILED)


def with_script(of: RunReport, script: str) -> str:
    """The report's page without its policy, and with a script whose result becomes the title."""
    return scripted(render_index(of), script)


def scripted(content: bytes, script: str) -> str:
    """The page without its policy, and with a script whose result becomes the title."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", content.decode())
    return page.replace("</body>", f"<script>{script}</script></body>")


def title(dumped: str) -> str:
    found = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert found
    return found[1].replace("&quot;", '"').replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")


@pytest.mark.parametrize("flags", [(), (DARK,), ("--window-size=390,800",)], ids=["light", "dark", "phone"])
def test_axe_finds_nothing(flags: tuple[str, ...], tmp_path: Path) -> None:
    open_all = "document.querySelectorAll('details').forEach(item => item.open = true);"
    run = (
        "axe.run().then(r => document.title = JSON.stringify(r.violations.map(v => [v.id, v.nodes[0].html])))"
    )
    page = with_script(
        MIXED, AXE.read_text(encoding="utf-8").replace("</script", "<\\/script") + open_all + run
    )
    dumped = browse(page, tmp_path, "--virtual-time-budget=60000", "--dump-dom", *flags)
    assert json.loads(title(dumped)) == []


def test_axe_would_find_a_faint_text(tmp_path: Path) -> None:
    run = "axe.run().then(r => document.title = JSON.stringify(r.violations.map(v => v.id)))"
    page = with_script(MIXED, AXE.read_text(encoding="utf-8").replace("</script", "<\\/script") + run)
    faint = page.replace("--soft: #59636e", "--soft: #d0d4d8")
    assert "color-contrast" in title(browse(faint, tmp_path, "--virtual-time-budget=60000", "--dump-dom"))


@pytest.mark.parametrize("width", [390, 1200])
def test_no_page_is_wider_than_the_window(width: int, tmp_path: Path) -> None:
    wide = "document.title = document.documentElement.scrollWidth - document.documentElement.clientWidth"
    open_all = "document.querySelectorAll('details').forEach(item => item.open = true);"
    dumped = browse(
        with_script(large(3, red=2), open_all + wide), tmp_path, "--dump-dom", f"--window-size={width},900"
    )
    assert title(dumped) == "0"


def test_every_part_is_reached_by_keyboard(tmp_path: Path) -> None:
    count = (
        "const reachable = [...document.querySelectorAll('summary, a, [tabindex]')];"
        "document.title = reachable.every(item => item.tabIndex === 0) + ' ' + "
        "document.querySelectorAll('details > summary:first-child').length === "
        "'true ' + document.querySelectorAll('details').length"
    )
    assert title(browse(with_script(MIXED, count), tmp_path, "--dump-dom")) == "true"


def test_the_keyboard_goes_through_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    """No tabindex changes the order of the elements, and no style moves one of them above another."""
    order = (
        "const tops = [...document.querySelectorAll('summary, a, [tabindex]')].filter(item => item.checkVisibility())"
        ".map(item => Math.round(item.getBoundingClientRect().top));"
        "document.title = tops.length > 20 && tops.every((top, at) => at === 0 || top >= tops[at - 1])"
    )
    assert title(browse(with_script(MIXED, order), tmp_path, "--dump-dom")) == "true"


def test_nothing_of_the_corpus_runs_or_asks(listener: Listener, tmp_path: Path) -> None:
    for number, text in enumerate(payloads(DO, listener.url)):
        if number % 5 == 0:
            page = render_index(hostile_report(text)).decode()
            assert title(browse(page, tmp_path, "--dump-dom")) == "RED: run run-1"
    assert listener.asked == []


def test_the_policy_forbids_a_script_that_slips_in(listener: Listener, tmp_path: Path) -> None:
    page = render_index(MIXED).decode()
    slipped = page.replace("</main>", f"<script>{DO}</script><img src={listener.url}/x onerror={DO}></main>")
    assert title(browse(slipped, tmp_path, "--dump-dom")) == "RED: run run-1"
    assert listener.asked == []
