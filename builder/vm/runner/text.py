"""Turns a notebook's output into lines that are safe to print, in bounded memory."""

from __future__ import annotations

import codecs
import re

MAX_LINE = 2000
CUT = " … (cut)"
# The limit of an unfinished line. It is more than is shown, because escape codes are removed later.
MAX_PENDING = 64 * 1024
ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
# Control characters, line separators other than newlines, and characters that change the direction of text.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
SPECIAL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(line: str) -> str:
    """Return one printable line: its last state after carriage returns, no control characters, at most MAX_LINE."""
    if SPECIAL.search(line):
        line = line.rstrip("\r").rpartition("\r")[2]
        line = UNSAFE.sub("", ESCAPES.sub("", line).replace("\t", "    "))
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - len(CUT)] + CUT


class Lines:
    """Turns a stream of bytes into clean lines."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending: list[str] = []
        self._length = 0

    def feed(self, data: bytes) -> list[str]:
        """Take more bytes; return the lines that are now complete."""
        text = self._decoder.decode(data)
        self._pending.append(text)
        self._length += len(text)
        if "\n" not in text and self._length <= MAX_PENDING:
            return []
        *lines, rest = "".join(self._pending).split("\n")
        if len(rest) > MAX_PENDING:
            # Of a progress bar, which overwrites itself, only the last state counts. Another line of this length is cut
            # anyway, so its middle can be dropped now.
            rest = rest.rstrip("\r").rpartition("\r")[2][: MAX_PENDING // 2]
        self._pending, self._length = [rest], len(rest)
        return [clean(line) for line in lines]

    def end(self) -> list[str]:
        """Return the text after the last newline, if any."""
        rest = "".join(self._pending) + self._decoder.decode(b"", final=True)
        self._pending, self._length = [], 0
        return [clean(rest)] if rest else []
