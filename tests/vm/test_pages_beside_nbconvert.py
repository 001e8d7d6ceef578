"""Ten notebooks by our page and by nbconvert's HTML exporter, as Chromium shows them.

The code cells run in one kernel. Needs Chromium (Debian, Ubuntu: apt-get install chromium).
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from builder.vm.runner.pages.page import pages

from .notebook_runs import Book, Ran, run_once
from .test_pages_browser import browse
from .vm_fixture import VmFixture

pytestmark = pytest.mark.needs("chromium")
GIF = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
IMPORTS = (
    "%matplotlib inline\nimport matplotlib.pyplot as plt, numpy as np, pandas as pd, sys, warnings, logging\n"
    "from IPython.display import *"
)
ALLOWED = "#tags raises-exception\n"
TEN: dict[str, tuple[str, ...]] = {
    "frames": (
        IMPORTS,
        "df = pd.DataFrame({'station': ['Market', 'Mission & 3rd'], 'trips': [12, 7]}); df",
        "display(df.describe()); print('after')",
        "pd.DataFrame(np.arange(400).reshape(100, 4))",
        "df.set_index('station').T",
        "df['trips']",
    ),
    "charts": (
        "plt.plot([1, 3, 2]); plt.show(); plt.plot([1, 2])",
        "%config InlineBackend.figure_formats = ['svg']\nfig, axes = plt.subplots(1, 2); axes[0].bar(['a'], [1])",
        'SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="9" height="9"/></svg>\')',
    ),
    "printed": (
        "print('one'); print('two', file=sys.stderr); print('three')",
        "print('\\x1b[1;31mbold red\\x1b[0m and \\x1b[38;5;208morange\\x1b[0m <b>no tag</b> &amp;')",
        "print('wide ' * 100)",
        "!echo from the shell",
        "print('gone'); clear_output(); print('kept')",
        "shown = display('before', display_id='x'); update_display('updated', display_id='x')",
    ),
    "errors": (
        f"{ALLOWED}1 / 0",
        f"{ALLOWED}raise ExceptionGroup('2 shards', [ValueError(1), KeyError('k')])",
        f"{ALLOWED}raise ValueError('first line\\nsecond <line>')",
        f"{ALLOWED}warnings.warn('old thing'); logging.warning('careful')",
    ),
    "values": (
        "{'a': [1, 2], 'b': 'x' * 90}",
        "pd.Timestamp('2024-01-01'), np.array([[1, 2], [3, 4]])",
        "Pretty('pretty text')",
        "Code('def f(): pass', language='python')",
    ),
    "rich": (
        "Markdown('# Head\\n\\n- a\\n- b\\n\\n| x | y |\\n|---|---|\\n| 1 | 2 |\\n\\n[link](https://ok.example/a?b=c&d=e) ~~gone~~')",
        "HTML('<details><summary>More</summary><p>inside</p></details><p><a href=\"https://ok.example\">link</a></p>')",
        "%%html\n<h2>From a magic</h2><table><caption>Cap</caption><thead><tr><th>A<th>B</thead><tr><td colspan=2>wide</table>",
        "HTML('<dl><dt>t</dt><dd>d</dd></dl><ol start=3><li>x</li></ol><blockquote>q</blockquote><pre>pre  text</pre>')",
    ),
    "text": (
        "#md # Title\n## Sub\n### Three\n\nSetext\n======\n\nText with `code`, **b**, *i*, ~~s~~, H<sub>2</sub>O, &copy; 😀",
        "#md 1. one\n2. two\n   - inner\n     - deep\n3. three\n\n> quote\n>> nested\n\n---\n\nline one  \nline two",
        "#md ```python\ndef f():\n    return '<b>'\n```\n\n    indented\n\nSome text:\n- no blank line\n\n<!-- hidden -->",
        "#md | a | b |\n|:--|--:|\n| 1 | **3** |\n\n<table><tr><th>h</th></tr><tr><td>1</td></tr></table>",
    ),
    "links": (
        "#md # Load data\n\n[t](https://a.example 'title') <https://auto.example> https://bare.example [ref][1]\n\n[1]: https://r.example",
        "#md [to the heading](#Load-data) [mail](mailto:a@b.example) <a href='https://x.example' target=_blank>x</a>",
        f"#md ![alt]({GIF}) <img src='{GIF}' width=40 alt=x> [![in a link]({GIF})](https://l.example)",
    ),
    "formulas": (
        "#md Inline $a_b * c_d * e$ and\n\n$$\n\\sum_{i=1}^n i\n$$\n\n\\begin{equation}\nE = mc^2\n\\end{equation}\n\nend",
        "Latex(r'$\\frac{a}{b}$')",
        "Math(r'x^2')",
        "Markdown('**strong** $a_b$')",
    ),
    "boxes": (
        "#md <div class='alert alert-info'>\n<b>Note:</b> boxed\n</div>\n\n<div>\n\n*Markdown* inside\n\n</div>",
        "#md <details>\n<summary>More</summary>\n\n- in\n\n</details>\n\n<center>mid</center> <kbd>K</kbd> <mark>m</mark>",
        "#raw raw text, as it is",
        "print('last')",
    ),
}
# What nbconvert shows as an empty place, because only a running Jupyter draws it.
DRAWN = (
    "%matplotlib notebook\nplt.plot([1, 3, 2])",
    (
        "from matplotlib.animation import FuncAnimation\nfigure, axes = plt.subplots(); (line,) = axes.plot([1, 2])\n"
        "moving = FuncAnimation(figure, lambda at: line.set_ydata([at, 1]), frames=2)\nHTML(moving.to_jshtml())"
    ),
)
BOOKS = {**TEN, "drawn": DRAWN}
# What a reader sees of each cell: its outputs or its text, without the page's own marks; a formula is one sign.
COLLECT = r"""
const formula = /\$\$[^]*?\$\$|\$[^$]+\$|\\begin\{(\w+)\}[^]*?\\end\{\1\}/g;
const seen = (page, cell, part) => [...page.querySelectorAll(cell)].map(one => {
  one.querySelectorAll('.anchor-link, .nb-label, .jp-OutputPrompt, style').forEach(mark => mark.remove());
  one.querySelectorAll('details').forEach(item => item.open = true);
  one.querySelectorAll('math').forEach(item => item.replaceWith('FORMULA'));
  const parts = [...(one.matches(part) ? [one] : []), ...one.querySelectorAll(part)];
  const count = names => parts.reduce((sum, item) => sum + item.querySelectorAll(names).length + item.matches(names), 0);
  return {
    text: parts.map(item => item.innerText).join(' ').replace(formula, 'FORMULA').split(/\s+/).filter(Boolean).join(' '),
    pictures: count('img, svg:not(svg svg)'), tables: count('table'), links: count('a[href]'),
    headings: count('h1, h2, h3, h4, h5, h6'), items: count('li'),
  };
}).filter(item => item.text || item.pictures);
let waiting = document.querySelectorAll('iframe').length;
const loaded = () => {
  if (--waiting) return;
  const found = [...document.querySelectorAll('iframe')].map((frame, at) => at % 2
    ? seen(frame.contentDocument, '.jp-Cell, .raw', '.jp-OutputArea-output, .jp-RenderedMarkdown, .raw')
    : seen(frame.contentDocument, 'section', '.nb-output, .nb-markdown'));
  document.title = JSON.stringify(found);
};
document.querySelectorAll('iframe').forEach(frame => { frame.onload = loaded; frame.srcdoc = frame.dataset.page; });
"""
Seen = list[dict[str, Any]]


@pytest.fixture(scope="module")
def executed(vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each notebook with its real outputs."""
    cells = [cell for book in BOOKS.values() for cell in book if not cell.startswith("#raw ")]
    ran: Ran = run_once(tmp_path_factory, vm_fixture, "ten", {"ten": Book(tuple(cells))}, image="scientific")[
        "ten"
    ]
    assert ran.end["exit_code"] == 0, ran.log
    rest = iter(ran.executed.cells)
    return {
        name: nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_raw_cell(cell[5:]) if cell.startswith("#raw ") else next(rest)
                for cell in book
            ],
            metadata=ran.executed.metadata,
        )
        for name, book in BOOKS.items()
    }


@pytest.fixture(scope="module")
def both(executed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Seen, Seen]]:
    """Return what Chromium shows of each notebook: on our page, and on that of nbconvert."""
    folder = tmp_path_factory.mktemp("both")
    made = [page for name in TEN for page in (ours(executed[name], folder), theirs(executed[name]))]
    frames = "".join(
        f'<iframe width="900" height="700" data-page="{html.escape(page)}"></iframe>' for page in made
    )
    dumped = browse(f"<!DOCTYPE html><title></title>{frames}<script>{COLLECT}</script>", folder, "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title
    found: list[Seen] = json.loads(html.unescape(title[1]))
    return dict(zip(TEN, zip(found[::2], found[1::2], strict=True), strict=True))


def ours(book: Any, folder: Path) -> str:
    """Our page, without the policy that forbids to look into it."""
    made = pages(json.loads(nbformat.writes(book)), "x", folder)[0]
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", made)


def theirs(book: Any) -> str:
    """nbconvert's page, without the scripts that it loads from the network. A raw cell gets an element."""
    made, _ = HTMLExporter().from_notebook_node(book)
    made = re.sub(r"<script\b.*?</script>", "", made, flags=re.DOTALL)
    for cell in book.cells:
        if cell.cell_type == "raw":
            made = made.replace(cell.source, f'<div class="raw">{cell.source}</div>')
    return str(made)


@pytest.mark.parametrize("name", TEN)
def test_a_reader_sees_what_nbconvert_shows(name: str, both: dict[str, tuple[Seen, Seen]]) -> None:
    ours, theirs = both[name]
    assert ours == theirs
    assert len(ours) == len(TEN[name]) - (IMPORTS in TEN[name])  # which shows nothing


def test_charts_that_only_a_running_jupyter_draws_leave_a_note(
    executed: dict[str, Any], tmp_path: Path
) -> None:
    _, chart, animation = ours(executed["drawn"], tmp_path).split("<section ")
    assert "An interactive Matplotlib chart was here." in chart
    assert "Use %matplotlib inline instead" in chart
    assert "An interactive Matplotlib animation was here." in animation
    assert animation.count('src="data:image/png;base64,') == 1
