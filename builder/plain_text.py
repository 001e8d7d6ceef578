"""Makes text safe to print: no escape codes, no control characters, no endless lines."""

from __future__ import annotations

import re
import unicodedata

MAX_LINE = 2000  # characters
MAX_SHOWN = 80  # characters of a value in a message

_ESCAPE_CODE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC and similar codes: titles, links
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_LINE_END = re.compile(r"\r\n?")
_OTHER_BREAK = re.compile(r"[\x0b\x0c\x85\u2028\u2029]")  # str.splitlines() takes these for line ends
# Other control characters, and those that change the direction of the text after them.
_CONTROL = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Controls, formats (bidi overrides among them), surrogates, line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """Return the text in plain lines, each ended by a newline alone and cut at 2,000 characters."""
    bare = _OTHER_BREAK.sub(" ", _LINE_END.sub("\n", _ESCAPE_CODE.sub("", text)))
    bare = _CONTROL.sub("", bare)
    return "\n".join(line if len(line) <= MAX_LINE else line[:MAX_LINE] + "…" for line in bare.split("\n"))


def one_line(text: str, limit: int = 300) -> str:
    """Return the first line of the text that is not blank, in plain characters, cut at `limit` characters."""
    line = next((line.strip() for line in plain(text).split("\n") if line.strip()), "")
    return line if len(line) <= limit else line[:limit] + "…"


def log_line(text: str) -> str:
    """Return the text as one line of a log, cut at 2,000 characters. Unsafe characters except tabs become spaces."""
    kept = "".join(
        char if char == "\t" or unicodedata.category(char) not in _UNSAFE_CATEGORIES else " " for char in text
    )
    return kept if len(kept) <= MAX_LINE else f"{kept[:MAX_LINE]} [cut]"


def escaped(text: str) -> str:
    """Return the text as a message shows a value: invisible characters as escapes, cut at 80 characters."""
    shown = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: MAX_SHOWN + 1]
    )
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"
