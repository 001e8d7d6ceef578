"""Markdown cells as Jupyter shows them, formulas and attachments included, sanitised."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from . import tags
from .mathml import formula
from .sanitize import sanitize

MAX_IMAGE = 10_000_000  # bytes of one picture that a Markdown cell names
MAX_UNCLOSED = 20  # beginnings of formulas without an end in one cell; more are no formulas
_MATH = re.compile(r"\\\\([\[\]()])|\\(begin|end)\{([a-z]*\*?)\}")
_CLOSES = {"]": "[", ")": "("}
MAX_MARKDOWN = 1_000_000  # characters of one cell; the parser takes a second for as many

_CHECKBOX = '<input class="task-list-item-checkbox"'


def render(source: str, folder: Path, attachments: dict[str, dict[str, str]], scope: str) -> str:
    """Return a cell's text as harmless HTML. Pictures that it names are taken from `folder`."""
    if len(source) > MAX_MARKDOWN:
        source = f"{source[:MAX_MARKDOWN]}\n\n*[cut here: the executed notebook has all of it]*"
    renderer = _Renderer(folder, attachments)
    parser = MarkdownWithMath(renderer=renderer)
    if _unclosed(source) > MAX_UNCLOSED:
        parser.block.rules.remove("multiline_math")
        for rule in ("block_math_latex", "inline_math_latex", "latex_environment"):
            parser.inline.rules.remove(rule)
    body = parser.render(source)
    body = tags.replaced(
        body,
        tags.tags(body, _CHECKBOX),
        lambda box: "☑ " if "checked" in box.attributes.rpartition("disabled")[2] else "☐ ",
    )
    return renderer.with_formulas(sanitize(body, scope))


def _unclosed(source: str) -> int:
    r"""Return how many times `\\[`, `\\(` or `\begin{NAME}` stands after the last place that closes it.

    The parser looks for the end of each at its beginning, so many that nothing closes would take the square of the length.
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
    """nbconvert's, except that formulas are kept aside and a picture that is not there is no error.

    A formula's place is held by an element whose class nobody can guess. Its quotes are what makes it safe to look for: the
    sanitiser writes a quote in an attribute as an entity, so the element is never found inside of one.
    """

    def __init__(self, folder: Path, attachments: dict[str, dict[str, str]]) -> None:
        super().__init__(escape=False, embed_images=True, path=str(folder), attachments=attachments)
        self._mark = "m" + secrets.token_hex(16)
        self._formulas: list[str] = []

    def with_formulas(self, body: str) -> str:
        """Put the formulas into their places."""
        place = re.compile(rf'<code class="{self._mark}">([0-9]+)</code>')
        return place.sub(lambda match: self._formulas[int(match.group(1))], body)

    def block_math(self, body: str) -> str:
        """Stands in for nbconvert's, as the next three do."""
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

    def _html_embed_images(self, html: str) -> str:
        """Parse only what may name a picture: the parser refuses some HTML, and takes the square of the length of other."""
        return str(super()._html_embed_images(html)) if "<img" in html.lower() else html

    def _src_to_base64(self, src: str) -> str | None:
        try:
            if Path(self.path, src).stat().st_size > MAX_IMAGE:
                return None
            found: Any = super()._src_to_base64(src)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, str) else None
