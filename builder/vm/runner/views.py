"""Views of a text, in which a value is the same bytes however a program has quoted, escaped, coloured or wrapped it.

A view removes what programs add: escapes, quotes, colours, tags, white space. It knows the place in the text of each of
its bytes. The value is put into the same view, so that a change of both is no loss.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# The text itself; without escapes and quotes; without white space too; in lower case without what separates bytes.
RAW, PLAIN, SPACELESS, ENCODED = "raw", "plain", "spaceless", "encoded"
# Escapes of escapes, such as JSON in JSON in HTML.
_ROUNDS = 3
_TAG = re.compile(rb"</?[A-Za-z][^<>]*>")
_TAG_OR_ITS_BEGINNING = re.compile(rb"</?[A-Za-z][^<>]*(?:>|\Z)|</?\Z")
_NUL = re.compile(rb"\0+")
# A run of backslashes, `%25`s or `&amp;`s before a code counts as one escape: it matches where it begins, so that no
# byte is read twice. Each alternative begins with one character, so that the search skips to one of the four.
_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])"
    rb"|%(?:25)*([0-9A-Fa-f]{2})"
    rb"|&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    rb"|\\\\*(?:u([dD][89abAB][0-9A-Fa-f]{2})\\+u([dD][c-fC-F][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}"
    rb"|U(00[01][0-9A-Fa-f]{5})|x([0-9A-Fa-f]{2})|([0-3][0-7]{2})|([nrtfv]))?"
)
# The beginning of an escape at the end of a text.
_INCOMPLETE = re.compile(
    rb"(?:\x1b\[?[0-?]*[ -/]*|%(?:25)*[0-9A-Fa-f]?|&(?:amp;)*#?[A-Za-z0-9]{0,31}"
    rb"|\\+(?:u[dD][89abAB][0-9A-Fa-f]{2}(?:\\+(?:u[0-9A-Fa-f]{0,3})?)?|u[0-9A-Fa-f]{0,3}|u\{[0-9A-Fa-f]{0,6}|U[0-9A-Fa-f]{0,7}"
    rb"|x[0-9A-Fa-f]?|[0-7]{0,2})?)\Z"
)
_MAX_ESCAPE = 64
_QUOTES, _SPACE, _SEPARATORS = b"'\"`\\", b" ", b":,-"
_HEX_PREFIX = re.compile(rb"0x")
_HEX_PREFIX_OR_ITS_BEGINNING = re.compile(rb"0x|0\Z")
_TO_SPACE = bytes.maketrans(b"\t\n\v\f\r+", b"      ")

_Replace = Callable[[re.Match[bytes]], bytes]


@dataclass(frozen=True)
class _Step:
    """One rewriting: for each replaced token, its place before and after."""

    tokens: list[tuple[int, int, int, int]]  # after: begin, end; before: begin, end

    def before(self, at: int) -> tuple[int, int]:
        """Return begin and end, before the step, of the byte that is at this place after it."""
        found = bisect_right(self.tokens, (at, 1 << 62)) - 1
        if found < 0:
            return at, at + 1
        _, end, old_begin, old_end = self.tokens[found]
        return (old_begin, old_end) if at < end else (old_end + at - end, old_end + at - end + 1)


class View:
    """A text under rewriting. `kind` says which values to search in it."""

    def __init__(self, data: bytes, *, traced: bool = False, unfinished: bool = False) -> None:
        """With `traced`, `place` works; with `unfinished`, the text may go on, and `unsure` is where that matters."""
        self.data = data
        self.kind = RAW
        self.unsure = len(data)
        self._traced = traced or unfinished
        self._unfinished = unfinished
        self._steps: list[_Step] = []

    def views(self, rounds: int = _ROUNDS) -> Iterator[View]:
        """Yield this view in each kind, with escapes decoded so many times. Each is valid until the next."""
        yield self
        self._unescape(rounds)
        self._drop(_QUOTES)
        self.data, self.kind = self.data.translate(_TO_SPACE), PLAIN
        yield self
        self._drop(_SPACE)
        self.kind = SPACELESS
        yield self
        self.data, self.kind = self.data.lower(), ENCODED
        self._remove(_HEX_PREFIX_OR_ITS_BEGINNING if self._unfinished else _HEX_PREFIX)
        self._drop(_SEPARATORS)
        yield self

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Return the place in the text of these bytes of the view."""
        last = end - 1
        for step in reversed(self._steps):
            begin, last = step.before(begin)[0], step.before(last)[1] - 1
        return begin, last + 1

    def without(self, pattern: re.Pattern[bytes]) -> View:
        """Return this view without what the pattern matches."""
        self._remove(pattern)
        return self

    def _unescape(self, rounds: int) -> None:
        for _ in range(rounds):
            if self._unfinished:
                self._cut()
            if not self._rewrite(_ESCAPE, _decoded):
                break

    def _cut(self) -> None:
        """Leave out an escape that is not complete yet."""
        if found := _INCOMPLETE.search(self.data, max(0, len(self.data) - _MAX_ESCAPE)):
            self.unsure = min(self.unsure, self.place(found.start(), found.start() + 1)[0])
            self.data = self.data[: found.start()]

    def _drop(self, characters: bytes) -> None:
        if self._traced:
            self._remove(re.compile(b"[%s]+" % re.escape(characters)))
        else:
            self.data = self.data.translate(None, characters)

    def _remove(self, pattern: re.Pattern[bytes]) -> None:
        self._rewrite(pattern, lambda _: b"")

    def _rewrite(self, pattern: re.Pattern[bytes], replace: _Replace) -> int:
        """Replace each match; return their number."""
        if not self._traced:
            self.data, count = pattern.subn(replace, self.data)
            return count
        tokens: list[tuple[int, int, int, int]] = []
        shift = 0

        def traced(match: re.Match[bytes]) -> bytes:
            nonlocal shift
            new = replace(match)
            begin = match.start() + shift
            tokens.append((begin, begin + len(new), match.start(), match.end()))
            shift += len(new) - (match.end() - match.start())
            return new

        self.data = pattern.sub(traced, self.data)
        if tokens:
            self._steps.append(_Step(tokens))
        return len(tokens)


def views_of(data: bytes, *, traced: bool = False, unfinished: bool = False) -> Iterator[View]:
    """Yield every view of a text. Each is valid until the next."""
    roots: list[re.Pattern[bytes] | None] = [None]
    tag = _TAG_OR_ITS_BEGINNING if unfinished else _TAG
    roots += [pattern for pattern, sign in ((tag, b"<"), (_NUL, b"\0")) if sign in data]
    for pattern in roots:
        view = View(data, traced=traced, unfinished=unfinished)
        for made in (view.without(pattern) if pattern else view).views():
            if made.kind != RAW or not pattern:
                yield made


def canonical(data: bytes, rounds: int = _ROUNDS) -> bytes:
    """Return a value as it is in the plain view, after so many rounds of decoding."""
    return next(view.data for view in View(data).views(rounds) if view.kind == PLAIN)


def _decoded(match: re.Match[bytes]) -> bytes:
    """Return what an escape stands for; nothing for a colour, or for backslashes before another character."""
    percent, entity, high, low, short, braced, long, byte, octal, control = match.groups()
    if percent or byte or octal:
        return bytes([int(octal, 8) if octal else int(percent or byte, 16)])
    if entity:
        found = html.unescape(f"&{entity.decode()};")
        if found.startswith("&") and len(found) > 1:
            # No character has this name, so `&amp;name;` is an escaped `&name;`.
            return b"&" + entity + b";"
        return found.encode("utf-8", "replace")
    if high:
        return (bytes.fromhex(high.decode()) + bytes.fromhex(low.decode())).decode("utf-16-be").encode()
    if code := short or braced or long:
        number = int(code, 16)
        return chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b""  # noqa: PLR2004
    return b" " if control else b""
