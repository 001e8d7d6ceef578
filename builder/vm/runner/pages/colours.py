"""Renders printed text with terminal colours as HTML.

nbconvert's converter copies the rest of the text at every code, so it gets a few codes at a time, after those still in
effect.
"""

from __future__ import annotations

import re

from nbconvert.filters.ansi import ansi2html

_COLOUR = re.compile("(\x1b\\[[0-9;]{0,100}m)")
_OTHER = re.compile("\x1b\\[[0-?]*[ -/]*[@-ln-~]")
_RESETS = frozenset({"\x1b[m", "\x1b[0m"})
_AT_ONCE = 200  # texts and codes
_KEPT = 20  # codes; more codes without a reset have no effect


def coloured(text: str) -> str:
    """Return the text as HTML, with colour codes as elements, and without other codes."""
    parts = _COLOUR.split(_OTHER.sub("", text))  # texts, and between them codes
    parts[::2] = [part.replace("\x1b", "") for part in parts[::2]]
    made: list[str] = []
    holding: list[str] = []
    for at in range(0, len(parts), _AT_ONCE):
        some = parts[at : at + _AT_ONCE]
        made.append(str(ansi2html("".join([*holding, *some]))))
        for code in some[1::2]:
            holding = [] if code in _RESETS else [*holding[-_KEPT:], code]
    return "".join(made)
