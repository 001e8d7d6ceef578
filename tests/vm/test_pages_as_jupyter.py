"""The pages show what Jupyter shows; what they cannot show leaves a note in its place."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest

from builder.vm.runner.pages.page import pages
from builder.vm.runner.pages.widgets import VIEW

v4 = nbformat.v4
GIF = base64.b64encode(b"GIF89a").decode()
PICTURE = f'<img src="data:image/gif;base64,{GIF}"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A notebook's folder with one picture and one output."""
    (tmp_path / "outputs").mkdir()
    for name in ("plan.gif", "outputs/x.gif", "a b.gif"):
        (tmp_path / name).write_bytes(b"GIF89a")
    return tmp_path


def markdown(text: str, folder: Path = Path()) -> str:
    """The body of the page of a Markdown cell."""
    return pages({"cells": [v4.new_markdown_cell(text)], "metadata": {}}, "demo", folder)[0].partition(
        "<body>"
    )[2]


def output(data: dict[str, Any], folder: Path = Path(), **metadata: Any) -> str:
    """The body of the page of a cell with one output."""
    cell = v4.new_code_cell("x", outputs=[v4.new_output("display_data", data)])
    return pages({"cells": [cell], "metadata": metadata}, "demo", folder)[0].partition("<body>")[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("H<sub>2</sub>O", "H<sub>2</sub>O", id="subscript"),
        pytest.param("<b>bold</b> and <i>more</i>", "<b>bold</b> and <i>more</i>", id="bold"),
        pytest.param("<kbd>Ctrl</kbd> + <kbd>C</kbd>", "<kbd>Ctrl</kbd> + <kbd>C</kbd>", id="keys"),
        pytest.param('<div align="center">\n\n# Title\n\n</div>', "Title", id="aligned heading"),
        pytest.param(
            "<details><summary>More</summary>\n\nhidden *text*\n\n</details>",
            "<details><summary>More</summary>\n\n<p>hidden <em>text</em></p>\n</details>",
            id="details",
        ),
        pytest.param("<table><tr><td>a</td><td><b>1</b></td></tr></table>", "<td><b>1</b></td>", id="table"),
        pytest.param("<p>one<br>two</p>", "<p>one<br>two</p>", id="paragraph"),
        pytest.param("<mark>a <u>b</u></mark>", "<mark>a <u>b</u></mark>", id="nested"),
    ],
)
def test_html_in_markdown_keeps_what_it_encloses(text: str, shown: str) -> None:
    assert shown in markdown(text)


def test_a_place_in_markdown_can_be_linked_to() -> None:
    made = markdown('<a name="here"></a>\n\n[go](#here)')
    assert '<a name="here"' in made
    assert 'href="#here"' in made


def test_a_place_cannot_have_a_name_of_the_page() -> None:
    assert "nb-cell-9" not in markdown('<a name="nb-cell-9">x</a>')


@pytest.mark.parametrize(
    "text",
    [
        "![p](plan.gif)",
        '<img src="plan.gif">',
        "<img src='plan.gif' width=10>",
        pytest.param("<img alt=x src=plan.gif>", id="without quotes"),
        pytest.param("![p](a%20b.gif)", id="quoted name"),
        pytest.param('<a href="https://x.example"><img src="plan.gif"></a>', id="in a link"),
        pytest.param("[![p](plan.gif)](https://x.example)", id="Markdown in a link"),
        pytest.param('<div align="center"><img src="outputs/x.gif"></div>', id="of the outputs"),
    ],
)
def test_pictures_of_the_folder_are_in_the_page(text: str, folder: Path) -> None:
    assert f"data:image/gif;base64,{GIF}" in markdown(text, folder)
    if "<img" in text:
        assert f"data:image/gif;base64,{GIF}" in output({"text/html": text}, folder)
    assert ("x.example" in text) == ('href="https://x.example"' in markdown(text, folder))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param(
            "![p](https://x.example/p.png)",
            "A picture was here, from https://x.example/p.png: this page loads nothing.",
            id="an address",
        ),
        pytest.param('<img src="//x.example/p.png">', "A picture was here, from //x.example/p.png", id="no scheme"),
        pytest.param('<img src="gone.png">', "A picture was here: gone.png is not in the notebook", id="gone"),
        pytest.param('<img src="../secret.png">', "A picture was here: ../secret.png is not in", id="outside"),
    ],
)  # fmt: skip
def test_a_picture_that_is_not_shown_leaves_a_note(text: str, note: str, folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(b"x")
    assert note in markdown(text, folder)
    if text.startswith("<"):
        assert note in output({"text/html": text}, folder)


@pytest.mark.parametrize("name", ["audio", "video"])
def test_sound_and_film_leave_a_note_and_no_text_for_old_browsers(name: str) -> None:
    made = output(
        {"text/html": f"<{name} controls><source src='x'>Your browser does not support it.</{name}>"}
    )
    assert "Your browser" not in made
    assert f"Left out here: {name}." in made


def test_links_to_outputs_work_from_the_page() -> None:
    made = output({"text/html": "<a href='outputs/rides.csv'>rides</a> <a href='other/x.csv'>other</a>"})
    assert 'href="outputs/rides.csv"' in made
    assert "other/x.csv" not in made
    assert 'href="outputs/a%20b.csv"' in markdown("[file](outputs/a%20b.csv)")
    assert "javascript" not in output({"text/html": "<a href='outputs/x:javascript:alert(1)'>x</a>"})


# Tags of Jupyter Book


@pytest.mark.parametrize(
    ("tag", "code", "result"),
    [
        pytest.param("remove-cell", False, False, id="remove-cell"),
        pytest.param("remove-input", False, True, id="remove-input"),
        pytest.param("remove-output", True, False, id="remove-output"),
        pytest.param("hide-input", "details", True, id="hide-input"),
        pytest.param("hide-output", True, "details", id="hide-output"),
        pytest.param("hide-cell", "details", "details", id="hide-cell"),
        pytest.param("other", True, True, id="another tag"),
    ],
)
def test_tags_hide_and_remove_parts_of_a_cell(tag: str, code: object, result: object) -> None:
    stream = v4.new_output("stream", name="stdout", text="the result")
    cell = v4.new_code_cell("the_code", outputs=[stream], metadata={"tags": [tag]})
    made = pages({"cells": [cell], "metadata": {}}, "demo", Path())[0].partition("<body>")[2]
    for text, wanted in (("the_code", code), ("the result", result)):
        before, found, _ = made.partition(text)
        assert bool(found) == bool(wanted)
        assert before.count("<details") - before.count("</details>") == (wanted == "details")


def test_a_failed_cell_is_never_removed() -> None:
    error = v4.new_output("error", ename="E", evalue="v", traceback=["E: v"])
    cell = v4.new_code_cell("the_code", outputs=[error], metadata={"tags": ["remove-cell"]})
    assert "the_code" in pages({"cells": [cell], "metadata": {}}, "demo", Path())[0]


def test_a_removed_text_cell_is_in_neither_page() -> None:
    cell = v4.new_markdown_cell("the text", metadata={"tags": ["remove-cell"]})
    assert not [
        page for page in pages({"cells": [cell], "metadata": {}}, "demo", Path()) if "the text" in page
    ]


# Widgets


def widgets(**models: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The metadata of a notebook with these widgets: the model's name, and its state."""
    state = {key: {"model_name": f"{name}Model", "state": value} for key, (name, value) in models.items()}
    return {"application/vnd.jupyter.widget-state+json": {"state": state, "version_major": 2}}


def view(model: str) -> dict[str, Any]:
    return {VIEW: {"model_id": model}, "text/plain": "  0%|          | 0/10 [00:00<?, ?it/s]"}


TQDM = widgets(
    box=("HBox", {"children": ["IPY_MODEL_left", "IPY_MODEL_bar", "IPY_MODEL_right"]}),
    left=("HTML", {"value": "100%"}),
    bar=("FloatProgress", {"value": 10.0, "max": 10.0}),
    right=("HTML", {"value": " 10/10 [00:01&lt;00:00]"}),
)


def test_a_finished_progress_bar_shows_its_end() -> None:
    made = output(view("box"), widgets=TQDM)
    assert "<span>100%</span> <span>10 of 10</span> <span>10/10 [00:01&lt;00:00]</span>" in made
    assert "0%|" not in made


@pytest.mark.parametrize(
    ("name", "state", "shown"),
    [
        pytest.param("Label", {"value": "a < b"}, "a &lt; b", id="Label"),
        pytest.param("HTML", {"value": "<b>x</b>"}, "<b>x</b>", id="HTML"),
        pytest.param("IntSlider", {"description": "Days", "value": 7}, "Days 7", id="IntSlider"),
        pytest.param("Text", {"description": "City", "value": "Paris"}, "City Paris", id="Text"),
        pytest.param(
            "Output",
            {"outputs": [{"output_type": "stream", "name": "stdout", "text": "inside"}]},
            "inside",
            id="Output",
        ),
        pytest.param(
            "Output",
            {"outputs": [{"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["E: v"]}]},
            "E: v",
            id="an error in an Output widget",
        ),
    ],
)
def test_widgets_appear_as_their_text(name: str, state: dict[str, Any], shown: str) -> None:
    assert shown in output(view("w"), widgets=widgets(w=(name, state)))


def test_a_widget_without_text_leaves_the_note() -> None:
    made = output({VIEW: {"model_id": "w"}}, widgets=widgets(w=("Canvas", {})))
    assert "A widget needs a running kernel" in made


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="no state"),
        pytest.param({"widgets": "x"}, id="text"),
        pytest.param(
            {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"w": 1}}}}, id="no model"
        ),
        pytest.param(
            {"widgets": widgets(w=("HBox", {"children": ["IPY_MODEL_w"] * 50}))}, id="a box in itself"
        ),
        pytest.param(
            {
                "widgets": widgets(
                    w=("Output", {"outputs": [{"output_type": "display_data", "data": view("w")}]})
                )
            },
            id="an output of itself",
        ),
    ],
)
def test_any_state_gives_a_page(metadata: dict[str, Any]) -> None:
    assert "0/10" in output(view("w"), **metadata)


def test_what_a_widget_holds_is_sanitized() -> None:
    made = output(
        view("w"), widgets=widgets(w=("HTML", {"value": "<script>x()</script><img src=x onerror=y()>"}))
    )
    assert "<script" not in made
    assert "onerror" not in made


# What Matplotlib 3.11 leaves for each figure of %matplotlib notebook, its script shortened.
NBAGG = (
    {
        "application/javascript": "/* Put everything inside the global mpl namespace */\nwindow.mpl = {};\n"
        "mpl.figure = function (id, websocket, ondownload, parent_element) {};\n",
        "text/plain": "<IPython.core.display.Javascript object>",
    },
    {"text/html": "<div id='4a6edfbb'></div>", "text/plain": "<IPython.core.display.HTML object>"},
)


def test_a_chart_of_matplotlib_notebook_leaves_a_note_that_names_inline() -> None:
    script, place = map(output, NBAGG)
    assert script.count('class="nb-note"') == 1
    assert "An interactive Matplotlib chart was here." in script
    assert "%matplotlib inline" in script
    assert "nb-note" not in place
    assert "object&gt;" not in script + place


def test_the_last_picture_of_matplotlib_notebook_is_shown_if_the_output_has_it() -> None:
    """Jupyter replaces the chart by its picture when the notebook is closed."""
    made = output(
        {"text/html": f'<div id="4a6edfbb"></div><img src="data:image/gif;base64,{GIF}" width="640">'}
    )
    assert PICTURE in made


def test_an_animation_shows_its_first_picture_and_the_note_says_how_to_keep_it() -> None:
    frames = f'frames[0] = "data:image/gif;base64,{GIF[:4]}\\\n{GIF[4:]}"\n  frames[1] = "data:image/gif;base64,AAAA"'
    made = output(
        {"text/html": f'<form><input id="l">Loop</form><script>{frames}\nnew Animation(frames, "i")</script>'}
    )
    assert f"data:image/gif;base64,{GIF}" in made
    assert "AAAA" not in made
    assert 'animation.save("outputs/animation.gif"' in made
    assert "Loop" not in made


@pytest.mark.parametrize(
    ("source", "kind", "shown"),
    [
        pytest.param("a <b>\n c", {}, "a &lt;b&gt;\n c", id="plain"),
        pytest.param("<p>a<script>1</script></p>", {"raw_mimetype": "text/html"}, "<p>a</p>", id="HTML"),
        pytest.param("x = 1", {"format": "text/plain"}, "x = 1", id="named plain"),
    ],
)
def test_a_raw_cell_is_shown(source: str, kind: dict[str, str], shown: str) -> None:
    book = {"cells": [v4.new_raw_cell(source, metadata=kind)], "metadata": {}}
    for made in pages(book, "demo", Path()):
        assert shown in made.partition("<main>")[2]


@pytest.mark.parametrize("kind", ["text/latex", "text/restructuredtext"])
def test_a_raw_cell_for_another_format_is_not_shown(kind: str) -> None:
    book = {"cells": [v4.new_raw_cell("\\newpage", metadata={"raw_mimetype": kind})], "metadata": {}}
    assert "newpage" not in pages(book, "demo", Path())[0]


@pytest.mark.parametrize("name", ["audio", "video", "iframe"])
def test_what_a_markdown_cell_loads_leaves_a_note(name: str) -> None:
    assert f"Left out here: {name}." in markdown(f"<{name} src='x'></{name}>")


def test_a_comment_in_markdown_leaves_no_note() -> None:
    assert "Left out" not in markdown("a\n\n<!-- <iframe src='x'></iframe> -->\n\nb")


def test_markdown_that_shows_a_tag_as_code_leaves_no_note() -> None:
    assert "nb-note" not in markdown("`<script>` and\n\n```html\n<video src=x>\n```")
