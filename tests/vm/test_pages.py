"""The pages of a notebook: nothing in them runs or loads, and all that people want to see is there."""

from __future__ import annotations

import base64
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builder.vm.runner import html
from builder.vm.runner.pages import charts, markdown, outputs, page, patience
from builder.vm.runner.pages.mathml import formula
from builder.vm.runner.pages.page import pages
from builder.vm.runner.pages.sanitize import sanitize

from .hostile import book, payloads

v4 = nbformat.v4
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "div", "span", "p", "a", "img", "br", "hr"),
    *("dl", "dt", "dd", "strong", "em", "b", "i", "code", "pre", "blockquote", "ul", "ol", "li", "details", "summary"),
    *("h1", "h2", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td", "caption", "label"),
    # Elements that only mark text up; the sanitizer lets them stand.
    *("abbr", "acronym", "article", "aside", "bdi", "bdo", "center", "cite", "col", "colgroup", "data", "del", "dfn", "figcaption"),
    *("figure", "footer", "h5", "h6", "hgroup", "ins", "kbd", "mark", "nav", "q", "rp", "rt", "rtc", "ruby", "s", "samp", "small"),
    *("strike", "sub", "sup", "tfoot", "time", "tt", "u", "var", "wbr"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "msup", "msub", "mfrac", "mtable", "mtr", "mtd", "mspace", "mstyle"),
}  # fmt: skip
AS_MATPLOTLIB_WRITES_IT = (
    '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"\n'
    '  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n'
    '<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" xmlns="http://www.w3.org/2000/svg" version="1.1"/>'
)
GIF = base64.b64encode(b"GIF89a").decode()


class Elements(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.sheets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "style":
            self.sheets.append(data)


def shown(*cells: Any, name: str = "demo", folder: Path = Path(), **metadata: Any) -> tuple[str, str]:
    """Both pages of a notebook of these cells."""
    return pages({"cells": cells, "metadata": metadata}, name, folder)


def displayed(data: dict[str, Any], **metadata: Any) -> str:
    """The page of a notebook with one output."""
    return shown(v4.new_code_cell("x", outputs=[v4.new_output("display_data", data, metadata=metadata)]))[0]


def assert_inert(text: str) -> None:
    """No node of this page runs, loads or leads anywhere by itself, but for the page's own links."""
    elements = Elements(text.replace(page.LINKS, "", 1))
    assert {tag for tag, _ in elements.found} <= ALLOWED
    for tag, attributes in elements.found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert re.match(r"#|https?://|mailto:|(\./)?outputs/", attributes.get("href") or "#"), attributes
        assert tag == "a" or "href" not in attributes
        assert not {"srcset", "srcdoc", "data", "action", "background", "ping", "formaction"} & set(
            attributes
        )
        style = attributes.get("style") or ""
        assert not re.search(r"url|expression|position|@|\\", style), style
        if tag == "meta":
            assert (attributes.get("http-equiv") or "Content-Security-Policy") == "Content-Security-Policy"
    for sheet in elements.sheets:
        assert not re.search(r"url\(|@import|@font-face|expression", sheet)


@pytest.mark.parametrize("number", range(len(payloads())))
def test_nothing_hostile_survives(number: int, tmp_path: Path) -> None:
    text = payloads()[number]
    for made in pages(book([text]), text, tmp_path):
        assert_inert(made)
        policies = [a["content"] for t, a in Elements(made).found if t == "meta" and "http-equiv" in a]
        assert policies == [page.POLICY]  # and with it no script at all
        own = [a for _, a in Elements(made).found if "nb-banner" in (a.get("class") or "")]
        assert len(own) == 1  # ours, of the failed cell; none that a cell made
        ids = [a["id"] for _, a in Elements(made).found if (a.get("id") or "").startswith("nb-")]
        assert len(ids) == len(set(ids))


@settings(deadline=None)
@example("<s ")
@given(st.text(alphabet="<>\"'$&;/=\\ \nabnosvgtyle-![](){}:#`*!\x1b[m", max_size=60))
def test_no_text_becomes_active(text: str) -> None:
    assert_inert(pages(book([text + "<img src=x onerror=alert(1)>"]), text, Path())[0])


def test_what_people_want_to_see_is_there(tmp_path: Path) -> None:
    (tmp_path / "plan.gif").write_bytes(b"GIF89a")
    told = v4.new_markdown_cell(
        "# Head\n\n*em* `x` [link](https://ok.example)\n\n| a |\n|---|\n| 1 |\n\n![i](plan.gif) ![gone](no.png) ![at](attachment:a.gif)\n\n"
        "- [x] done\n- [ ] open\n\n$e^{x}$ and $$\\frac{a}{b}$$\n\n\\begin{align} a &= b \\end{align}\n\n$\\unknown{x}$",
        attachments={"a.gif": {"image/gif": GIF}},
    )
    code = v4.new_code_cell(
        "secret_source = 1",
        execution_count=3,
        outputs=[
            v4.new_output("display_data", {"image/svg+xml": "<svg width='9'/>"}),
            v4.new_output("display_data", {"image/svg+xml": AS_MATPLOTLIB_WRITES_IT}),
            v4.new_output("display_data", {"image/png": "iVBORw0KGgo="}),
            v4.new_output("display_data", {"text/latex": "$\\displaystyle y_1$"}),
            v4.new_output("display_data", {"text/html": "<b>chart</b><svg><circle r='2'/></svg>"}),
            v4.new_output("stream", text="\x1b[31mred\x1b[0m\n1%\r2%\rdone"),
        ],
    )
    with_code, clean = shown(told, code, name="na<me", folder=tmp_path)
    for made in (with_code, clean):
        assert_inert(made)
        assert "<title>na&lt;me</title>" in made
        assert {"h1", "em", "code", "table", "td", "img", "pre"} <= {tag for tag, _ in Elements(made).found}
        assert made.count("data:image/svg+xml;base64,") == 3
        assert made.count(f"data:image/gif;base64,{GIF}") == 2
        assert made.count("<math") == 4
        assert "☑ done" in made
        assert "☐ open" in made
        assert '<code class="nb-tex">$\\unknown{x}$</code>' in made
        assert '<span class="ansi-red-fg">red</span>' in made
        assert "2%" not in made
    assert "secret_source" in with_code
    assert "[3]" in with_code
    assert "secret_source" not in clean
    assert "[3]" not in clean


STYLED = """<style type="text/css">
#T_a1 th { color: blue; background: url(https://evil.example) }
#T_a1_row0_col0, #T_a1_row1_col0 { background-color: #440154; color: #f1f1f1; position: fixed; }
#T_a1_row0_col1 { width: 10em; background: linear-gradient(90deg, #d65f5f 42.0%, transparent 42.0%); }
body { color: red } .nb-banner { display: none }
@media print { * { display: none } }
</style><table id="T_a1"><tr><td id="T_a1_row0_col0" class="data row0" style="font-weight: bold; position: fixed">1</td></tr></table>"""


def test_a_styled_frame_keeps_its_colours_to_itself() -> None:
    made = displayed({"text/html": STYLED})
    sheet = next(s for s in Elements(made).sheets if "T_a1" in s)
    scope = re.escape("#nb-cell-0-0")
    assert re.search(
        rf"{scope} #T_a1_row0_col0, {scope} #T_a1_row1_col0 {{ background-color: #440154; color: #f1f1f1 }}",
        sheet,
    )
    assert "linear-gradient(90deg, #d65f5f 42.0%, transparent 42.0%)" in sheet
    assert "color: blue" in sheet
    assert all(line.startswith("#nb-cell-0-0 ") for line in sheet.splitlines())
    assert 'id="T_a1_row0_col0"' in made
    assert 'style="font-weight:bold"' in made.replace(": ", ":")
    assert_inert(made)


ESCAPING = {
    "a sibling": "~ .nb-output",
    "the next one": "+ .nb-output",
    "a child": "> .nb-output",
    "without a space": "~.nb-output",
    "a comment": "/**/~ .nb-output",
    "comments and spaces": "/* */ /**/ + *",
    "the second of a list": "b, ~ .nb-output",
    "the first of a list": "~ .nb-output, b",
    "after :is()": ":is(b, c), ~ *",
    "after a text with a comma": '[a="],b"], ~ *',
    "between two texts": '[a="],~ .nb-output,[b="], ~ *',
    "a space of another kind": "\u00a0~ .nb-output, ~ *",
    "a form feed": "\f~ *",
    "nesting": "& ~ *",
    "nesting after a comment": "/**/& + *",
    ":has()": ":has(~ .nb-output)",
    "a column": "|| *",
    "a namespace": "*|* ~ *",
    "media": "@media all { ~ *",
    "a layer": "@layer a { ~ *",
    "@scope": "@scope (:root) { ~ *",
    "a rule in a rule": "b { ~ .nb-output",
    "a rule in a rule with &": "b { & ~ .nb-output",
    "after a closed rule": "b { } ~ .nb-output",
    "an escape": "\\7e .nb-output",
    "an escaped combinator": "\\~ *, ~ *",
    "comment of HTML": "<!-- ~ *",
    "end of a comment of HTML": "--> ~ *",
    "an open comment": "~ * /*",
    "an open bracket": "[a, ~ *",
    "an open text": '"a, ~ *',
    "an empty one": ", ~ *",
    "nothing": "",
}


@pytest.mark.parametrize("name", ESCAPING)
def test_no_selector_leaves_its_output(name: str) -> None:
    sheet = f"<style>{ESCAPING[name]} {{ display: none }}</style>"
    made = sanitize(sheet + "<b>x</b>", "nb-cell-0-0")
    assert "display" not in made, made
    assert "<b>x</b>" in made or name == "comment of HTML"
    assert_inert(pages(book([sheet]), "demo", Path())[0])


@pytest.mark.parametrize(
    "selector",
    [
        "a > b", "a + b", "a ~ b.c", "tr:nth-child(even) td", '[class="x,y"] + b', ":is(a, b) c", ":not(:first-child)",
        "*", "#a .b", "a:hover", "a/**/b", "a, b",
    ],
)  # fmt: skip
def test_selectors_within_an_output_stay(selector: str) -> None:
    made = sanitize(f"<style>{selector} {{ color: red }}</style>", "nb-x")
    assert made.startswith("<style>#nb-x ")
    assert "{ color: red }" in made


REJECTED = "<div>" * 600  # deeper than the sanitizer accepts


def test_an_output_that_a_library_refuses_costs_itself_alone() -> None:
    cells = (
        v4.new_markdown_cell(f"# before\n\n{REJECTED}"),
        v4.new_code_cell(
            "x = 1",
            outputs=[
                v4.new_output("display_data", {"text/markdown": REJECTED}),
                v4.new_output("display_data", {"text/markdown": REJECTED, "text/plain": "as text"}),
                v4.new_output("display_data", {"text/html": "<div>" * 100_000}),
                v4.new_output("display_data", {"text/html": "&amp;" * 100_000}),
                v4.new_output("stream", name="stdout", text="after"),
            ],
        ),
    )
    for made in shown(*cells):
        assert_inert(made)
        assert "# before" in made
        assert "as text" in made
        assert "after" in made
        assert made.count("cannot show") == 3


def test_every_part_of_a_page_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library raises in the midst of a cell, the other cells and the failure's banner are there."""

    def broken(*_: Any, **__: Any) -> str:
        raise RecursionError

    monkeypatch.setattr(page, "highlight", broken)
    monkeypatch.setattr(markdown, "MarkdownWithMath", broken)
    monkeypatch.setattr(outputs, "coloured", broken)
    failing = v4.new_output("error", ename="E", evalue="wrong", traceback=["TB"])
    cells = (
        v4.new_markdown_cell("some *text*"),
        v4.new_code_cell("x < 1", outputs=[failing]),
        v4.new_code_cell("", outputs=[v4.new_output("display_data", {"text/html": "<b>fine</b>"})]),
    )
    made = shown(*cells)[0]
    assert_inert(made)
    for part in ("some *text*", "x &lt; 1", "<b>fine</b>", "E: wrong", "cannot show"):
        assert part in made


def test_what_takes_a_library_too_long_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """mistune takes the square of a run of spaces: hours for the text of this test."""
    monkeypatch.setattr(page, "Patience", lambda: patience.Patience(0.2, 0.5))
    spaces = "a" + " " * 500_000 + "b"
    cells = (
        *(v4.new_markdown_cell(spaces) for _ in range(5)),
        v4.new_code_cell("x = 1", outputs=[v4.new_output("stream", name="stdout", text="after")]),
    )
    began = time.process_time()
    made = shown(*cells)[0]
    assert time.process_time() - began < 30
    assert made.count('<div class="highlight"><pre>a  ') == 5


def test_a_page_leads_to_the_other_notebooks_the_outputs_and_the_log() -> None:
    for made in shown(v4.new_code_cell("x = 1")):
        assert re.findall(r'href="([^"]*)"', made) == ["../index.html", "run.log", "result.json"]


def test_the_failing_cell_is_named_and_linked() -> None:
    bad = v4.new_code_cell(
        "1/0",
        outputs=[v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["\x1b[31mTB\x1b[0m"])],
    )  # fmt: skip
    allowed = v4.new_code_cell("boom()", outputs=bad.outputs, metadata={"tags": ["raises-exception"]})
    papermills = v4.new_markdown_cell(
        "An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]}
    )
    given = v4.new_code_cell("x = 1", metadata={"tags": ["injected-parameters"]})
    # Numbered as in the log: papermill's own cell does not count, an empty one does.
    book = {"cells": [given, papermills, allowed, papermills, bad, v4.new_code_cell("")], "metadata": {}}
    for made in pages(book, "demo", Path(), "added"):
        assert (
            '<a href="#nb-cell-4">cell 2 of 3</a>: <code>ZeroDivisionError: division by zero</code>' in made
        )
        assert '<section class="nb-code nb-failed" id="nb-cell-4">' in made
        assert '<span class="ansi-red-fg">TB</span>' in made
        assert "An Exception was encountered" not in made
    assert "nb-banner" not in Elements_text(shown(allowed)[0])


def Elements_text(made: str) -> str:  # noqa: N802 - reads like the class beside it
    """Return the text of a page, without its head."""
    return made.partition("<body>")[2]


def test_a_notebook_that_was_stopped_says_so() -> None:
    done = v4.new_code_cell("1", metadata={"papermill": {"status": "completed"}})
    waiting = v4.new_code_cell("2", metadata={"papermill": {"status": "pending"}})
    assert "1 of 2 cells did not run" in shown(done, waiting)[0]
    assert "nb-banner" not in Elements_text(shown(done, done)[0])


def test_run_facts() -> None:
    facts = {
        "start_time": "2026-07-01T06:00:12.5",
        "duration": 75.2,
        "parameters": {"city": "Köln", "days": 7},
    }
    made = shown(papermill=facts)[1]
    for text in (
        "2026-07-01 06:00 UTC",
        "1 min 15 s",
        "<dt>city</dt><dd>&quot;Köln&quot;</dd>",
        "<dt>days</dt><dd>7</dd>",
    ):
        assert text in made


LIBRARY = "<script>/** plotly.js v3.1.0 */ window.Plotly = {newPlot: () => 0}</script>"
FIGURE = (
    '<div style="height:444px" class="plotly-graph-div" id="c"></div><script>Plotly.newPlot("c", [])</script>'
)


def test_a_chart_that_carries_its_library_gets_a_frame() -> None:
    made = displayed({"text/html": LIBRARY + FIGURE, "text/plain": "t"})
    frame = next(a for t, a in Elements(made).found if t == "iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert frame["height"] == "464"
    document = frame["srcdoc"] or ""
    assert charts.POLICY in document
    policy = next(a["content"] or "" for t, a in Elements(made).found if a.get("http-equiv"))
    assert re.fullmatch(re.escape(page.POLICY) + r"; script-src( 'sha256-[\w+/]{43}='){2}", policy)
    outside = [tag for tag, _ in Elements(made).found]
    assert "script" not in outside


def test_a_library_that_came_before_serves_the_charts_after_it() -> None:
    cells = [
        v4.new_code_cell("a", outputs=[v4.new_output("display_data", {"text/html": text})])
        for text in (
            LIBRARY.replace("window.Plotly =", "window.PlotlyConfig = {}; window.Plotly ="),
            FIGURE,
            FIGURE,
        )
    ]
    made = shown(*cells)[0]
    assert made.count("<iframe") == 2
    assert "nb-note" not in Elements_text(made)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(
            {"text/html": "<script src='https://cdn.example/plotly.js v3'></script>" + FIGURE}, "fig.write_html",
            id="Plotly from the web",
        ),
        pytest.param({"application/vnd.plotly.v1+json": {}}, "fig.write_html", id="Plotly JSON"),
        pytest.param(
            {"application/vnd.bokehjs_exec.v0+json": "", "application/javascript": "Bokeh"}, "file_html(figure, INLINE)",
            id="Bokeh",
        ),
        pytest.param(
            {"application/vnd.vegalite.v5+json": {}, "text/plain": "<VegaLite 5 object>"}, "inline=True",
            id="Vega-Lite",
        ),
        pytest.param(
            {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "IntSlider(value=3)"}, "running kernel",
            id="widget",
        ),
        pytest.param({"text/html": "<iframe srcdoc='<script>L.map(1)</script>'></iframe>"}, "map.html", id="map"),
        pytest.param({"application/javascript": "alert(1)"}, "A script was here", id="script"),
        pytest.param(
            {"text/html": "<table><tr><td>kept</table><script>alert(1)</script>"}, "Left out here: script",
            id="script beside a table",
        ),
        pytest.param({"application/pdf": "JVBERi0="}, "application/pdf", id="PDF"),
    ],
)  # fmt: skip
def test_what_a_page_cannot_show_is_told(data: dict[str, Any], told: str) -> None:
    made = displayed(data)
    assert told in made
    assert_inert(made)
    if "text/plain" in data and "Slider" in data["text/plain"]:
        assert "IntSlider(value=3)" in made
    if "kept" in str(data):
        assert "<td>kept</td>" in made


def test_a_still_picture_stands_for_its_chart() -> None:
    made = displayed({"application/vnd.plotly.v1+json": {}, "image/png": "iVBORw0KGgo="})
    assert "data:image/png;base64,iVBORw0KGgo=" in made


def test_huge_outputs_become_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x" * (outputs.MAX_TEXT + 10_000)
    made = shown(v4.new_code_cell("x", outputs=[v4.new_output("stream", text=text)]))[0]
    assert len(made) < outputs.MAX_TEXT + 50_000
    assert "10,000 of 410,000 characters were left out" in made
    assert "A picture of 20.0 MB" in displayed({"image/png": "A" * (outputs.MAX_PICTURE + 4)})
    assert "A piece of HTML of 8.0 MB" in displayed({"text/html": "a" * (outputs.MAX_HTML + 1)})
    monkeypatch.setattr(outputs, "MAX_PAGE", 3000)
    streams = [v4.new_code_cell("x", outputs=[v4.new_output("stream", text="y" * 1000)]) for _ in range(5)]
    full = shown(*streams)[0]
    assert full.count("this page is full") == 3


def test_the_page_on_reports_states_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    html, picture, whole = (
        limit // 1_000_000 for limit in (outputs.MAX_HTML, outputs.MAX_PICTURE, outputs.MAX_PAGE)
    )
    stated = f"printed text at {outputs.MAX_TEXT:,} characters, a piece of HTML at {html} MB, a picture at {picture} MB, and the page at {whole} MB"
    assert stated in " ".join(page.split()), "docs/reports.md states other limits"


def test_formulas_that_cannot_be_drawn_stay_readable() -> None:
    assert formula("x" * 20_000, display=False).startswith('<code class="nb-tex">$xxx')
    assert formula(r"\frac", display=True) == r'<code class="nb-tex">$$\frac$$</code>'
    assert formula(r"\text{<b>}", display=False) == r'<code class="nb-tex">$\text{&lt;b&gt;}$</code>'
    assert "href" not in formula(r"\href{javascript:x}{y}", display=False)


def test_pieces_are_closed() -> None:
    assert sanitize("<div><table><tr><td>x") == "<div><table><tbody><tr><td>x</td></tr></tbody></table></div>"


def test_a_page_can_be_written_whatever_the_text(tmp_path: Path) -> None:
    source = tmp_path / "in.ipynb"
    source.write_text(
        '{"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["half \\ud83d"]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    html.convert(source, "größe", tmp_path, tmp_path, "")
    assert "half ?" in (tmp_path / "größe-clean.html").read_text(encoding="utf-8")
