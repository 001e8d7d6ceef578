"""Takes the values of secrets out of whatever a notebook leaves: as they are, and in the forms in which they come by mistake.

Works on bytes, from the left, the longest form first. A stream gives the same as the whole, however its bytes arrive.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

# Shorter ones turn up in innocent text, which would not survive their redaction.
MIN_BYTES = 8
# A PEM file's first and last line are no secret.
_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
# What a service account's key file holds beside its key.
_PUBLIC_FIELDS = frozenset(
    {
        "type",
        "project_id",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    }
)
# How wide base64 is broken by Python's and the shell's tools, and in PEM files.
_WIDTHS = (76, 64)
_HEAD = 4
# What every executed notebook holds: a value among these words could not be taken out of one.
WORDS = (
    "cell_type metadata output_type execution_count execute_result display_data markdown attachments nbformat nbformat_minor "
    "kernelspec display_name language_info pygments_lexer codemirror_mode file_extension mimetype nbconvert_exporter "
    "papermill completed exception start_time end_time duration default_parameters environment_variables input_path "
    "output_path parameters injected-parameters traceback text/plain text/html text/markdown text/latex image/png "
    "image/svg+xml application/json application/javascript notebook-builder redacted"
)


def label(name: str) -> str:
    """Return what stands in the place of a secret's value."""
    return f"[redacted {name}]"


class Redactor:
    """Knows some secrets by name and value; `counts` says how often each was taken out. Without secrets it changes nothing."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names: dict[bytes, str] = {}
        labels = " ".join(map(label, secrets)).encode()
        for name, value in secrets.items():
            for form in forms(value):
                if form not in labels:
                    self._names.setdefault(form, name)
        self._sorted = sorted(self._names)
        self._heads = {form[:_HEAD] for form in self._sorted}
        self.longest = max(map(len, self._sorted), default=0)
        self._pattern = _pattern(self._sorted)
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._names)

    def matches(self, data: bytes, start: int = 0) -> Iterator[tuple[int, int, str]]:
        """Yield where values stand: begin, end, the secret's name."""
        if self._names:
            for match in self._pattern.finditer(data, start):
                yield match.start(), match.end(), self._names[match.group()]

    def find(self, data: bytes) -> str:
        """Return the name of a secret whose value is in these bytes, else nothing."""
        return next((name for _, _, name in self.matches(data)), "")

    def find_in(self, chunks: Iterable[bytes]) -> str:
        """Return the same for bytes that come in pieces."""
        tail = b""
        for chunk in chunks:
            window = tail + chunk
            if found := self.find(window):
                return found
            tail = window[-self.longest :]
        return ""

    def data(self, data: bytes) -> bytes:
        """Return the bytes without the values."""
        made, at = [], 0
        for begin, end, name in self.matches(data):
            made += [data[at:begin], label(name).encode()]
            self.counts[name] += 1
            at = end
        return b"".join([*made, data[at:]]) if made else data

    def text(self, text: str) -> str:
        """Return the text without the values."""
        if not self._names:
            return text
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def pieces(self, pieces: list[str]) -> list[str]:
        """Return the pieces of one text without values that begin in one and end in another."""
        encoded = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
        made: list[bytes] = []
        found = self.matches(b"".join(encoded))
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
        """Return a JSON value without the values, in its texts, its keys and its numbers."""
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
        """Lines of one text, as notebooks hold them, belong together."""
        texts = len(items) > 1 and all(isinstance(item, str) for item in items)
        if texts and all(item.endswith("\n") for item in items[:-1]):
            return self.text("".join(items)).splitlines(keepends=True)
        return [self.json(item) for item in items]

    def begins_at(self, data: bytes, start: int) -> int:
        """Return where, from `start` on, a value may have begun that these bytes do not hold to its end; else their length."""
        for at in range(max(start, len(data) - self.longest + 1), len(data)):
            head = data[at : at + _HEAD]
            if len(head) == _HEAD and head not in self._heads:
                continue
            rest = data[at:]
            place = bisect_left(self._sorted, rest)
            for form in self._sorted[place : place + 2]:
                if len(form) > len(rest) and form.startswith(rest):
                    return at
        return len(data)

    def first(self, data: bytes, start: int) -> tuple[int, int, str] | None:
        """Return the first value from `start` on."""
        return next(self.matches(data, start), None)


class Stream:
    """Redacts bytes as they come. Holds back only what may be the beginning of a value."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; return what is certain of all that came."""
        redactor, made, at = self._redactor, [], 0
        if not redactor:
            return data
        data = self.held + data
        unsure = redactor.begins_at(data, 0)
        while (found := redactor.first(data, at)) and found[0] < unsure:
            begin, end, name = found
            made += [data[at:begin], label(name).encode()]
            redactor.counts[name] += 1
            at = end
            if unsure < at:
                unsure = redactor.begins_at(data, at)
        made.append(data[at:unsure])
        self.held = data[unsure:]
        return b"".join(made)

    def end(self) -> bytes:
        """Return what was held back: nothing more belongs to it."""
        held, self.held = self.held, b""
        return self._redactor.data(held)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _PUBLIC_FIELDS:
                yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def forms(value: str) -> set[bytes]:
    """Return the byte strings to look for: all that is secret in a value and long enough, however it may be written."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    inner = set(_leaves(parsed)) if isinstance(parsed, dict | list) else set()
    found: set[bytes] = set()
    for text in {text.strip() for text in {value, *inner}} - set(WORDS.split()):
        found.update(_written(text))
        found.update(_encoded(text.encode()))
        # In JSON it is the texts that are secret, else the lines. These in every encoding would be slow to look for, and
        # it is the whole that somebody encodes.
        if text in inner or not inner:
            for line in text.splitlines():
                if not _ARMOUR.fullmatch(line.strip()):
                    found.update(_written(line.strip()))
    return {form for form in found if len(form) >= MIN_BYTES}


def _written(text: str) -> Iterator[bytes]:
    """Yield the text as programs quote it."""
    escaped = json.dumps(text)[1:-1]
    urls = {quote(text, safe=""), quote(text), quote_plus(text), quote_plus(text, safe="/")}
    urls |= {re.sub(r"%..", lambda code: code[0].lower(), url) for url in urls}
    pages = {html.escape(text), html.escape(text, quote=False)}
    pages |= {page.replace("&quot;", "&#34;").replace("&#x27;", "&#39;") for page in pages}
    quoted = {
        escaped,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(escaped)[1:-1],
        repr(text)[1:-1],
    }
    if len(text.encode()) >= MIN_BYTES:
        for form in {text, *quoted, *urls, *pages, repr(text.encode())[2:-1]}:
            yield form.encode()


def _encoded(data: bytes) -> Iterator[bytes]:
    """Yield the bytes in hex, in other encodings, and in base64, wherever in a longer text they may begin."""
    if len(data) < MIN_BYTES:
        return
    for coding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield data.decode().encode(coding)
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for before in range(3):
        # Only the characters that are made of nothing but these bytes.
        whole = base64.b64encode(bytes(before) + data)
        sure = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        lines = [
            sure[at : at + width] for width in _WIDTHS if not before for at in range(0, len(sure), width)
        ]
        for form in (sure, *lines):
            yield form
            yield form.translate(bytes.maketrans(b"+/", b"-_"))


def _pattern(needles: list[bytes]) -> re.Pattern[bytes]:
    """Return what finds any of the needles, the longest that begins at a place."""
    return re.compile(_alternatives(sorted(needles, key=len, reverse=True), depth=2))


def _alternatives(needles: list[bytes], depth: int) -> bytes:
    """They may be many: put together by their first bytes, they are told apart in a few steps."""
    if not depth or len(needles) == 1:
        return b"|".join(map(re.escape, needles))
    groups: dict[bytes, list[bytes]] = {}
    for needle in needles:
        groups.setdefault(needle[:1], []).append(needle[1:])
    return b"|".join(
        re.escape(first) + b"(?:" + _alternatives(rests, depth - 1) + b")" for first, rests in groups.items()
    )
