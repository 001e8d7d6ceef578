"""Redacts the values of secrets in everything that a notebook leaves, however ordinary programs have written them.

It searches each view of a text (views.py) for the forms of each value (secret_forms.py), and replaces what is there in
the text itself. A stream gives the same result as the whole text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .secret_forms import forms
from .views import ENCODED, PLAIN, RAW, SPACELESS, View, views_of

_HEAD = 4
# Bytes that a program adds to one byte of a value: `&#x27;`, `\u0027`, colours. A stream holds back no more than this.
_SPREAD = 8
_SPREAD_ONCE = 512
_MAX_BACKSLASHES = 64  # before the place where a stream is cut

Found = tuple[int, int, str]  # begin, end, the secret's name


def label(name: str) -> str:
    """Return the text that replaces a secret's value."""
    return f"[redacted {name}]"


class Needles:
    """The forms of all values in one view; `names` has the secret of each form."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}

    def complete(self) -> None:
        """Get ready to search, once every form is in `names`."""
        self._sorted = sorted(self.names)
        self.longest = max(map(len, self._sorted), default=0)
        self._pattern = re.compile(_alternatives(sorted(self._sorted, key=len, reverse=True), depth=2))
        heads = sorted({form[:_HEAD] for form in self._sorted})
        ends = sorted({form[:length] for form in self._sorted for length in range(1, _HEAD)})
        self._beginning = re.compile(b"%s|(?:%s)\\Z" % (_alternatives(heads, 1), _alternatives(ends, 1)))

    def find(self, data: bytes) -> Iterator[Found]:
        """Yield each form in the bytes, also those that overlap; of several at one place the longest."""
        at = 0
        while self.names and (match := self._pattern.search(data, at)):
            yield match.start(), match.end(), self.names[match.group()]
            at = match.start() + 1

    def begins_at(self, data: bytes) -> int:
        """Return the position at which an incomplete form can begin; the length if there is none."""
        at = max(0, len(data) - self.longest + 1)
        while self.names and (found := self._beginning.search(data, at)):
            rest = data[found.start() :]
            place = bisect_left(self._sorted, rest)
            for form in self._sorted[place : place + 2]:
                if len(form) > len(rest) and form.startswith(rest):
                    return found.start()
            at = found.start() + 1
        return len(data)


class Redactor:
    """Redacts the values of secrets, given by name; `counts` has the redactions of each.

    Without secrets it changes nothing.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles = {kind: Needles() for kind in (RAW, PLAIN, SPACELESS, ENCODED)}
        labels = {view.kind: view.data for view in View(" ".join(map(label, secrets)).encode()).views()}
        for name, value in secrets.items():
            for kind, found in forms(value).items():
                for form in found:
                    if form not in labels[kind]:
                        self._needles[kind].names.setdefault(form, name)
        for needles in self._needles.values():
            needles.complete()
        longest = max(needles.longest for needles in self._needles.values())
        self._reach = longest * _SPREAD + _SPREAD_ONCE if longest else 0
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Return True if there are values to redact."""
        return bool(self._reach)

    def matches(self, data: bytes) -> list[Found]:
        """Return the place of each value, from the left; values that overlap are one, with the longest's name."""
        if not self or not any(any(self._needles[view.kind].find(view.data)) for view in views_of(data)):
            return []
        found = [
            (*_whole_characters(data, *view.place(begin, end)), name)
            for view in views_of(data, traced=True)
            for begin, end, name in self._needles[view.kind].find(view.data)
        ]
        return list(_merged(found))

    def find(self, data: bytes) -> str:
        """Return the name of a secret whose value is in these bytes, else ""."""
        return next((name for _, _, name in self.matches(data)), "")

    def find_in(self, chunks: Iterable[bytes]) -> str:
        """Like `find`, for bytes in pieces."""
        tail = b""
        for chunk in chunks:
            window = tail + chunk
            if found := self.find(window):
                return found
            tail = window[self.begins_at(window) :]
        return ""

    def data(self, data: bytes) -> bytes:
        """Return the bytes without the values."""
        return self.without(data, self.matches(data))

    def without(self, data: bytes, found: Iterable[Found]) -> bytes:
        """Return the bytes with a label at each of these places, and count them."""
        made, at = [], 0
        for begin, end, name in found:
            made += [data[at:begin], label(name).encode()]
            self.counts[name] += 1
            at = end
        return b"".join([*made, data[at:]]) if made else data

    def text(self, text: str) -> str:
        """Return the text without the values."""
        if not self:
            return text
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def pieces(self, pieces: list[str]) -> list[str]:
        """Return the pieces of one text without values, including those that begin in one piece and end in another."""
        encoded = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
        made: list[bytes] = []
        found = iter(self.matches(b"".join(encoded)))
        begin, end, name = next(found, (-1, -1, ""))
        position = 0
        for piece in encoded:
            kept: list[bytes] = []
            at, stop = position, position + len(piece)
            while at < stop:
                if name and at == begin:
                    kept.append(label(name).encode())
                    self.counts[name] += 1
                if name and begin <= at < end:
                    at = min(end, stop)
                    if at == end:
                        begin, end, name = next(found, (-1, -1, ""))
                else:
                    until = min(begin, stop) if name else stop
                    kept.append(piece[at - position : until - position])
                    at = until
            made.append(b"".join(kept))
            position = stop
        return [piece.decode("utf-8", "surrogatepass") for piece in made]

    def json(self, value: Any) -> Any:
        """Return a JSON value without the secrets' values in its texts, keys and numbers."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list):
            return self._list(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = json.dumps(value)
            return self.text(written) if self.find(written.encode()) else value
        return value

    def _list(self, items: list[Any]) -> list[Any]:
        """Redact a list. Its texts are lines of one text, as in notebooks."""
        texts = len(items) > 1 and all(isinstance(item, str) for item in items)
        if texts and all(item.endswith("\n") for item in items[:-1]):
            return self.text("".join(items)).splitlines(keepends=True)
        return [self.json(item) for item in items]

    def begins_at(self, data: bytes) -> int:
        """Return the position at which a value that is not complete can begin; the length if there is none.

        A value that is spread over more than a bounded number of bytes is not seen.
        """
        if not self:
            return len(data)
        start = max(0, len(data) - self._reach)
        tail = data[start:]
        unsure = len(tail)
        for view in views_of(tail, unfinished=True):
            at = self._needles[view.kind].begins_at(view.data)
            place = view.place(at, at + 1)[0] if at < len(view.data) else len(tail)
            unsure = min(unsure, view.unsure, place)
        return start + unsure


class Stream:
    """Redacts bytes as they arrive. Holds back only the possible beginning of a value."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; return those that are final."""
        if not self._redactor:
            return data
        data = self.held + data
        found = self._redactor.matches(data)
        unsure = self._redactor.begins_at(data)
        for _ in range(
            2
        ):  # the beginning of a match can follow a backslash, too; no more, so that the time stays linear
            # A backslash and what it escapes are read together.
            unsure -= _trailing_backslashes(data[max(0, unsure - _MAX_BACKSLASHES) : unsure])
            # What is complete may be part of something longer.
            for begin, end, _ in reversed(found):
                if begin < unsure < end:
                    unsure = begin
        self.held = data[unsure:]
        final = (match for match in found if match[1] <= unsure)
        return self._redactor.without(data[:unsure], final)

    def end(self) -> bytes:
        """Return what was held back, at the end of the text."""
        held, self.held = self.held, b""
        return self._redactor.data(held)


def _trailing_backslashes(data: bytes) -> int:
    """Return the number of backslashes at the end."""
    return len(data) - len(data.rstrip(b"\\"))


def _merged(found: list[Found]) -> Iterator[Found]:
    """Yield the places from the left, and those that overlap as one."""
    found.sort(key=lambda match: (match[0], -match[1]))
    begin, end, name, longest = -1, -1, "", 0
    for match in found:
        if match[0] >= end:
            if name:
                yield begin, end, name
            begin, end, name, longest = *match, match[1] - match[0]
        else:
            end = max(end, match[1])
            if match[1] - match[0] > longest:
                name, longest = match[2], match[1] - match[0]
    if name:
        yield begin, end, name


def _whole_characters(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the place, extended to whole characters of UTF-8, which can be one byte in the views."""
    first, last = begin, end
    while first > max(0, begin - 3) and _is_inner(data[first]):
        first -= 1
    while last < min(len(data), end + 3) and _is_inner(data[last]):
        last += 1
    return first, last


def _is_inner(byte: int) -> bool:
    """Return True for a byte of a UTF-8 character other than its first."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 - the two bits that UTF-8 marks it with


def _alternatives(needles: list[bytes], depth: int) -> bytes:
    """Group many needles by their first bytes, so that the search takes few steps."""
    if not depth or len(needles) == 1:
        return b"|".join(map(re.escape, needles))
    groups: dict[bytes, list[bytes]] = {}
    for needle in needles:
        groups.setdefault(needle[:1], []).append(needle[1:])
    return b"|".join(
        re.escape(first) + b"(?:" + _alternatives(rests, depth - 1) + b")" for first, rests in groups.items()
    )
