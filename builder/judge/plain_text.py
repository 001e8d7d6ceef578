"""Makes text from a notebook or a VM fit to print: no escape codes, no control bytes, no endless lines."""

from __future__ import annotations

import re

LONGEST_LINE = 2000

_ESCAPE_CODE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC and its like: titles, links
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_LINE_END = re.compile(r"\r\n?")
_OTHER_BREAK = re.compile(r"[\x0b\x0c\x85\u2028\u2029]")  # Python counts no line there
# Other control characters, and those that turn the direction of the text around what follows.
_CONTROL = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """The text in plain lines, each ended by a newline alone and cut at 2,000 characters."""
    bare = _OTHER_BREAK.sub(" ", _LINE_END.sub("\n", _ESCAPE_CODE.sub("", text)))
    bare = _CONTROL.sub("", bare)
    return "\n".join(
        line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…" for line in bare.split("\n")
    )


def one_line(text: str, limit: int = 300) -> str:
    """The first line of the text that is not blank, in plain characters, cut at the limit."""
    line = next((line.strip() for line in plain(text).split("\n") if line.strip()), "")
    return line if len(line) <= limit else line[:limit] + "…"
