"""Makes lines that are safe to print out of whatever bytes a notebook writes, in bounded memory."""

from __future__ import annotations

import codecs
import re

MAX_LINE = 2000
CUT = " … (cut)"
# What is kept of a line that does not end; more than is ever shown, because escape codes will still go.
MAX_PENDING = 64 * 1024
ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
# Control characters, line separators that are none to us, and what turns the direction of text around.
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
            # A progress bar overwrites itself without end: only its last state counts. Anything else that is this
            # long will be cut, so its middle may go now.
            rest = rest.rstrip("\r").rpartition("\r")[2][: MAX_PENDING // 2]
        self._pending, self._length = [rest], len(rest)
        return [clean(line) for line in lines]

    def end(self) -> list[str]:
        """Return what stands after the last newline, if anything."""
        rest = "".join(self._pending) + self._decoder.decode(b"", final=True)
        self._pending, self._length = [], 0
        return [clean(rest)] if rest else []
