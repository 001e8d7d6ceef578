"""Renders Markdown cells as Jupyter shows them, with formulas and attachments, sanitised."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from . import charts, pictures, tags
from .mathml import formula
from .sanitize import sanitize

MAX_UNCLOSED = 20  # formulas without an end in one cell; beyond that they are text
_MATH = re.compile(r"\\\\([\[\]()])|\\(begin|end)\{([a-z]*\*?)\}")
_CLOSES = {"]": "[", ")": "("}
MAX_MARKDOWN = 1_000_000  # characters of one cell; the parser takes a second for as many

_CHECKBOX = '<input class="task-list-item-checkbox"'


def render(source: str, folder: Path, attachments: dict[str, dict[str, str]], scope: str) -> str:
    """Return a cell's text as harmless HTML. Pictures that it names are read from `folder`."""
    if len(source) > MAX_MARKDOWN:
        source = f"{source[:MAX_MARKDOWN]}\n\n*[cut here: the executed notebook has all of it]*"
    renderer = _Renderer(attachments)
    parser = MarkdownWithMath(renderer=renderer)
    if _unclosed(source) > MAX_UNCLOSED:
        parser.block.rules.remove("multiline_math")
        for rule in ("block_math_latex", "inline_math_latex", "latex_environment"):
            parser.inline.rules.remove(rule)
    body = pictures.embedded(parser.render(source), folder)
    body = tags.replaced(
        body,
        tags.tags(body, _CHECKBOX),
        lambda box: "☑ " if "checked" in box.attributes.rpartition("disabled")[2] else "☐ ",
    )
    return renderer.with_formulas(sanitize(body, scope)) + charts.left_out(body)


def _unclosed(source: str) -> int:
    r"""Return how many times `\\[`, `\\(` or `\begin{NAME}` stands after the last place that closes it.

    The parser searches for the end of each, so many without an end would take time quadratic in the length.
    """
    ends: dict[str, int] = {}
    begins: dict[str, list[int]] = {}
    for found in _MATH.finditer(source):
        bracket, word, name = found.groups()
        kind = _CLOSES.get(bracket, bracket) if bracket else f"{{{name}}}"
        if word == "end" or bracket in _CLOSES:
            ends[kind] = found.start()
        else:
            begins.setdefault(kind, []).append(found.start())
    return sum(at > ends.get(kind, -1) for kind, places in begins.items() for at in places)


class _Renderer(IPythonRenderer):
    """nbconvert's renderer, which keeps formulas aside, and for which a missing picture is no error.

    An element with an unguessable class holds a formula's place. Its quotes make the search safe: the sanitiser writes
    a quote in an attribute as an entity, so the element is never found inside an attribute.
    """

    def __init__(self, attachments: dict[str, dict[str, str]]) -> None:
        super().__init__(escape=False, attachments=attachments)
        self._mark = "m" + secrets.token_hex(16)
        self._formulas: list[str] = []

    def with_formulas(self, body: str) -> str:
        """Put the formulas into their places."""
        place = re.compile(rf'<code class="{self._mark}">([0-9]+)</code>')
        return place.sub(lambda match: self._formulas[int(match.group(1))], body)

    def block_math(self, body: str) -> str:
        """Replaces nbconvert's method, as the next three do."""
        return self._held(body, display=True)

    def inline_math(self, body: str) -> str:
        return self._held(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return self._held(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    def _held(self, tex: str, *, display: bool) -> str:
        self._formulas.append(formula(tex, display=display))
        return f'<code class="{self._mark}">{len(self._formulas) - 1}</code>'

    def _embed_image_or_attachment(self, src: str) -> str:
        name = src.removeprefix("attachment:")
        if name != src and not self.attachments.get(name):
            return ""
        return str(super()._embed_image_or_attachment(src))
