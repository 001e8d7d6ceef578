"""The page of a day and `versions/latest/` in a real browser, held to the same rules as the report of a run.

Needs Chromium (Debian, Ubuntu: apt-get install chromium).
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from builder.report.folder_page import Entry, links
from builder.report.latest import render_latest
from builder.report.page import render_page
from tests.needs import CHROMIUM
from tests.patience import PATIENCE
from tests.unit.test_report_browser import AXE, DARK, scripted, title
from tests.vm.hostile import payloads
from tests.vm.test_pages_browser import DO, FLAGS, Listener, browse, listener

__all__ = ["listener"]
pytestmark = pytest.mark.needs("chromium")
RUN = "event-9876543210987654-1a2b3c4d"
FILES = ("{}.html", "{}-clean.html", "{}.ipynb", "run.log", "result.json")
OPEN_ALL = "document.querySelectorAll('details').forEach(item => item.open = true);"


def entry(job: str, *, green: bool = True, outputs: int = 2, text: str = "all 5 code cells ran") -> Entry:
    """An entry of a day whose job has all files."""
    stem = job.rpartition("/")[2]
    return Entry(
        job=job,
        notebook=f"reports/{stem}.ipynb",
        green=green,
        message=text,
        run=RUN,
        report=f"../../results/{RUN}/index.html",
        day="",
        seconds=41.5,
        parameters={"today": "2026-11-29", "city": text, "limit": 10},
        links=links(f"reports/{stem}.ipynb", f"{job}/", [name.format(stem) for name in FILES]),
        outputs={f"outputs/{n} {text}": f"{job}/outputs/{n}" for n in range(outputs)},
    )


def day_page(*entries: Entry) -> bytes:
    return render_page("folder.html.j2", folder="2026-11-29", entries=entries, more=2)


def latest_page(text: str = "all 5 code cells ran") -> bytes:
    jobs = {
        name: {
            "day": day,
            "run": RUN,
            "output": f"gs://acme-notebooks/ci/versions/{day}/{name}/",
            "notebook": f"reports/{name}.ipynb",
            "message": text,
            "seconds": 41.5,
            "parameters": {"day": day, "city": text},
            "files": [f"{name}.html", f"{name}-clean.html", f"{name}.ipynb"],
        }
        for name, day in (("rides", "2026-11-29"), ("stations", "2026-11-28"))
    }
    return render_latest(jobs)


LONG = "a-name-without-any-place-to-break-it-that-is-longer-than-the-window-of-a-phone-" * 2
DAY = day_page(
    entry("costs", green=False, text="cell 3 of 5 failed: AssertionError: no rides"),
    entry("rides"),
    entry(LONG, outputs=14, text=LONG),
    entry("city=paris-1a2b3c4d/rides"),
)
PAGES = {"day": DAY, "latest": latest_page()}
of_each_page = pytest.mark.parametrize("page", list(PAGES))


@of_each_page
@pytest.mark.parametrize("flags", [(), (DARK,), ("--window-size=390,800",)], ids=["light", "dark", "phone"])
def test_axe_finds_nothing(page: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    run = (
        "axe.run().then(r => document.title = JSON.stringify(r.violations.map(v => [v.id, v.nodes[0].html])))"
    )
    axe = AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    made = scripted(PAGES[page], axe + OPEN_ALL + run)
    assert (
        json.loads(title(browse(made, tmp_path, "--virtual-time-budget=60000", "--dump-dom", *flags))) == []
    )


@of_each_page
@pytest.mark.parametrize("width", [390, 1200])
def test_no_page_is_wider_than_the_window(page: str, width: int, tmp_path: Path) -> None:
    wide = "document.title = document.documentElement.scrollWidth - document.documentElement.clientWidth"
    made = scripted(PAGES[page], OPEN_ALL + wide)
    assert title(browse(made, tmp_path, "--dump-dom", f"--window-size={width},900")) == "0"


@of_each_page
def test_the_keyboard_reaches_every_part_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    order = (
        f"{OPEN_ALL}const parts = [...document.querySelectorAll('summary, a, [tabindex]')];"
        "const tops = parts.map(item => Math.round(item.getBoundingClientRect().top));"
        "document.title = parts.length > 10 && parts.every(item => item.tabIndex === 0)"
        " && tops.every((top, at) => at === 0 || top >= tops[at - 1])"
    )
    assert title(browse(scripted(PAGES[page], order), tmp_path, "--dump-dom")) == "true"


def console(content: bytes, folder: Path) -> list[str]:
    """Return the messages in the browser's console, such as what the page's policy refused."""
    file = folder / "page.html"
    file.write_bytes(content)
    flags = (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom")
    done = subprocess.run(
        [str(CHROMIUM), *flags, file.as_uri()], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@of_each_page
def test_the_console_has_no_message(page: str, tmp_path: Path) -> None:
    assert console(PAGES[page], tmp_path) == []
    refused = PAGES[page].replace(b"</main>", b"<script>1</script></main>")
    assert "Content Security Policy" in console(refused, tmp_path)[0]


def test_nothing_of_the_corpus_runs_or_asks(listener: Listener, tmp_path: Path) -> None:
    for number, text in enumerate(payloads(DO, listener.url)):
        if number % 10 == 0:
            red = day_page(entry("rides", green=False, text=text))
            assert title(browse(red.decode(), tmp_path, "--dump-dom")) == "RED: 2026-11-29"
            latest = latest_page(text).decode()
            assert title(browse(latest, tmp_path, "--dump-dom")) == "GREEN: latest"
    assert listener.asked == []


def test_a_day_shows_verdict_reason_parameters_and_links_below_its_own_folder(tmp_path: Path) -> None:
    dumped = browse(DAY.decode(), tmp_path, "--dump-dom")
    body = dumped.partition("<body>")[2]
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
    assert text.startswith(
        "RED 2026-11-29: 3 of 4 jobs green The folder has 2 more results, which are not shown."
    )
    assert "RED costs 41.5 s cell 3 of 5 failed: AssertionError: no rides page page without code" in text
    assert 'today "2026-11-29"' in text
    addresses = re.findall(r'href="([^"]*)"', body)
    assert addresses[:5] == [f"costs/{name.format('costs')}" for name in FILES]
    assert addresses[5:8] == [
        f"../../results/{RUN}/index.html",
        "costs/outputs/0",
        "costs/outputs/1",
    ]
    assert "city%3Dparis-1a2b3c4d/rides/rides.html" in addresses
    assert not [address for address in addresses if ":" in address or address.startswith("/")]


def test_the_latest_page_leads_to_the_folders_of_the_days(tmp_path: Path) -> None:
    dumped = browse(PAGES["latest"].decode(), tmp_path, "--dump-dom")
    addresses = re.findall(r'href="([^"]*)"', dumped.partition("<body>")[2])
    for name, day in (("rides", "2026-11-29"), ("stations", "2026-11-28")):
        for file in FILES:
            assert f"../{day}/{name}/{file.format(name)}" in addresses
        assert f"../{day}/index.html" in addresses
    assert '<dl class="facts" aria-label="Parameters of rides">' in dumped
