"""Assembles the rendered cells of a notebook into two pages."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ipython_pygments_lexers import IPython3Lexer
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

from builder.vm.runner.frames import INJECTED, Injected

from . import markdown
from .charts import REST
from .hidden import Hidden, Visibility
from .outputs import Outputs, note
from .patience import Patience
from .sanitize import sanitize
from .widgets import Widgets

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
STYLE = Path(__file__).with_name("page.css")
MAX_SOURCE = 400_000  # characters of one cell's code
_RUNNERS_OWN = (
    "papermill-error-cell-tag"  # cells that papermill adds to mark a failed cell; the page does that itself
)
_ERROR = "raises-exception"
# The folder above has a page of all its notebooks, with their outputs: that of the run, or of the day.
LINKS = (
    '<p class="nb-links"><a href="../index.html">all notebooks and outputs</a> <a href="run.log">log</a> '
    '<a href="result.json">result.json</a></p>'
)


@dataclass(frozen=True)
class Cell:
    """A rendered cell: its kind for the style sheet, its place in the page, its code, and its other content."""

    kind: str
    anchor: str
    label: str
    source: str
    body: str


@dataclass(frozen=True)
class Failure:
    """The failure of the notebook: the code cell's number and their count, the error in one line, the cell's place."""

    number: int
    cells: int
    error: str
    anchor: str


@dataclass(frozen=True)
class CodeCells:
    """The author's code cells, numbered from 1 as in the log.

    `own`: the place of the cell that papermill made of the parameters, None without one. `numbers`: the number of each
    other code cell, by its place. `count`: the number of code cells of the input.
    """

    own: int | None
    numbers: Mapping[int, int]
    count: int


def pages(notebook: Mapping[str, Any], name: str, folder: Path, injected: Injected = "") -> tuple[str, str]:
    """Return the page with code and the page without, of a notebook of format 4 as its JSON.

    `folder` is the notebook's. `injected`: what papermill did with the cell of this run's parameters.
    """
    patience = Patience()
    outputs = Outputs(folder, patience, Widgets(notebook.get("metadata", {})))
    code_cells = _code_cells(notebook, injected)
    failure = _failure(notebook, code_cells)
    cells = tuple(_cells(notebook, code_cells, outputs, folder, patience))
    head = _head(name, outputs.frames.script_policy)
    top = f'<header class="nb-head"><p class="nb-name">{html.escape(name)}</p>{_facts(notebook)}{LINKS}{_banner(notebook, code_cells, failure)}</header>'

    def page(*, code: bool) -> str:
        shown = "".join(_placed(cell, code=code) for cell in cells)
        return f"{head}<body><main>\n{top}\n{shown}</main></body></html>\n"

    return page(code=True), page(code=False)


def _head(name: str, script_policy: str) -> str:
    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    style = f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n{STYLE.read_text(encoding='utf-8')}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}{script_policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(name)}</title><style>{style}</style></head>\n"
    )


def _cells(
    notebook: Mapping[str, Any],
    code_cells: CodeCells,
    outputs: Outputs,
    folder: Path,
    patience: Patience,
) -> Iterator[Cell]:
    lexer = _lexer(notebook)
    failure = _failure(notebook, code_cells)
    for index, cell in enumerate(notebook["cells"]):
        anchor, tags = f"nb-cell-{index}", cell.get("metadata", {}).get("tags", [])
        source = joined(cell.get("source", ""))
        failed = failure is not None and failure.anchor == anchor
        hidden = Hidden.of(tags) if not failed else Hidden()
        if _RUNNERS_OWN in tags or hidden.cell:
            continue
        if cell["cell_type"] == "markdown":
            attachments = cell.get("attachments") or {}
            body = patience.attempt(partial(markdown.render, source, folder, attachments, anchor))
            yield Cell("nb-markdown nb-text", anchor, "", "", _as_it_is(source) if body is None else body)
        elif cell["cell_type"] == "raw":
            yield Cell("nb-markdown", anchor, "", "", outputs.raw(cell, anchor))
        elif cell["cell_type"] == "code":
            rendered = (
                (f"{anchor}-{number}", output)
                for number, output in enumerate(_merged(cell.get("outputs", [])))
            )
            body = "".join(
                f'<div class="nb-output" id="{scope}">{shown}</div>\n'
                for scope, output in rendered
                if (shown := outputs.render(output, scope))
            )
            kind = "nb-code nb-failed" if failed else "nb-code"
            code = patience.attempt(partial(_source, source, lexer))
            code = _as_it_is(source) if code is None else code
            yield Cell(
                kind,
                anchor,
                _label(cell, own=index == code_cells.own),
                _placed_by(hidden.source, code, "Code"),
                _placed_by(hidden.output, body, "Output"),
            )


def _placed_by(visibility: Visibility, part: str, name: str) -> str:
    """Return a part of a cell as its tags want it."""
    if visibility is Visibility.SHOWN or not part:
        return part
    if visibility is Visibility.REMOVED:
        return ""
    return f'<details class="nb-hidden"><summary>{name}</summary>{part}</details>'


def _as_it_is(source: str) -> str:
    """Return the plain text of a cell that no library can render."""
    cut = note(f"This cell is longer than what is shown here. {REST}") if len(source) > MAX_SOURCE else ""
    return f'<div class="highlight"><pre>{html.escape(source[:MAX_SOURCE])}</pre></div>{cut}'


def _placed(cell: Cell, *, code: bool) -> str:
    source = cell.source if code else ""
    if not source and not cell.body:
        return ""
    label = f'<p class="nb-label">{cell.label}</p>' if source and cell.label else ""
    return f'<section class="{cell.kind}" id="{cell.anchor}">{label}{source}{cell.body}</section>\n'


def _label(cell: Mapping[str, Any], *, own: bool) -> str:
    count = cell.get("execution_count")
    shown = f"[{count}]" if isinstance(count, int) else "[&nbsp;]"
    return f"{shown} parameters of this run" if own else shown


def _source(source: str, lexer: Lexer) -> str:
    if not source.strip():
        return ""
    if len(source) > MAX_SOURCE:
        source = f"{source[:MAX_SOURCE]}\n# […] cut here: the executed notebook has all of it"
    return sanitize(highlight(source, lexer, HtmlFormatter()))


def _lexer(notebook: Mapping[str, Any]) -> Lexer:
    metadata = notebook.get("metadata", {})
    language = metadata.get("language_info") or {}
    name = str(language.get("pygments_lexer") or language.get("name") or "python")
    if name.startswith(("ipython", "python")):
        return IPython3Lexer()
    try:
        return get_lexer_by_name(name)
    except ClassNotFound:
        return TextLexer()


def _merged(outputs: list[Any]) -> Iterator[Any]:
    """Yield the outputs, with adjacent pieces of one stream merged, as on a terminal."""
    held: dict[str, Any] | None = None
    for output in outputs:
        stream = output.get("output_type") == "stream"
        if stream and held and held.get("name") == output.get("name"):
            held = {**held, "text": joined(held.get("text", "")) + joined(output.get("text", ""))}
            continue
        if held:
            yield held
        held = output if stream else None
        if not stream:
            yield output
    if held:
        yield held


def _facts(notebook: Mapping[str, Any]) -> str:
    """Return the notebook's start, duration and parameters from papermill's metadata."""
    known = notebook.get("metadata", {}).get("papermill")
    papermill = known if isinstance(known, dict) else {}
    facts: list[tuple[str, str]] = []
    started = str(papermill.get("start_time") or "")
    if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", started):
        facts.append(("run", f"{started[:10]} {started[11:16]} UTC"))
    duration = papermill.get("duration")
    if isinstance(duration, int | float):
        facts.append(("took", _seconds(duration)))
    parameters = papermill.get("parameters")
    if isinstance(parameters, dict):
        facts += [
            (str(key), json.dumps(value, ensure_ascii=False, default=str)[:500])
            for key, value in parameters.items()
        ]
    if not facts:
        return ""
    rows = "".join(
        f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>" for key, value in facts
    )
    return f'<dl class="nb-facts">{rows}</dl>'


def _seconds(duration: float) -> str:
    minutes, seconds = divmod(round(duration), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{duration:.1f} s"


def _code_cells(notebook: Mapping[str, Any], injected: Injected) -> CodeCells:
    code = [index for index, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"]
    tagged = (
        index for index in code if INJECTED in notebook["cells"][index].get("metadata", {}).get("tags", [])
    )
    own = next(tagged, None) if injected else None
    counted = [index for index in code if injected == "replaced" or index != own]
    numbers = {index: number for number, index in enumerate(counted, start=1) if index != own}
    return CodeCells(own, numbers, len(counted))


def _failure(notebook: Mapping[str, Any], code: CodeCells) -> Failure | None:
    """Return the first cell whose error no tag allows."""
    for index, number in code.numbers.items():
        cell = notebook["cells"][index]
        if _ERROR in cell.get("metadata", {}).get("tags", []):
            continue
        for output in reversed(cell.get("outputs", [])):
            if output.get("output_type") == "error":
                error = f"{output.get('ename', '')}: {output.get('evalue', '')}"
                return Failure(number, code.count, error.partition("\n")[0][:300], f"nb-cell-{index}")
    return None


def _banner(notebook: Mapping[str, Any], code: CodeCells, failure: Failure | None) -> str:
    if failure:
        return (
            f'<p class="nb-banner"><strong>Failed</strong> in <a href="#{failure.anchor}">cell {failure.number} of '
            f"{failure.cells}</a>: <code>{html.escape(failure.error)}</code></p>"
        )
    states = [
        notebook["cells"][index].get("metadata", {}).get("papermill", {}).get("status")
        for index in code.numbers
    ]
    waiting = states.count("pending") + states.count("running")
    if not waiting:
        return ""
    return f'<p class="nb-banner"><strong>Stopped early</strong>: {waiting} of {code.count} cells did not run to their end.</p>'


def joined(text: Any) -> str:
    """Return a multi-line string of the notebook format, which can be a list of lines, as one string."""
    return text if isinstance(text, str) else "".join(map(str, text))
