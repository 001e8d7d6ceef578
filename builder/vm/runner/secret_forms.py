"""The secret parts of a value, and the bytes to search for in each view of a text."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

from builder.vm.secret_like import has_known_form, looks_random, names_secret

from .views import ENCODED, PLAIN, RAW, SPACELESS, canonical

# Shorter values occur in other text, which their redaction would destroy.
MIN_BYTES = 8
# A value without its quotes and backslashes can be shorter than the value. This much of it is still no ordinary text.
MIN_PLAIN = 6
# Without white space, ordinary words join: only what is longer than they are is searched there.
MIN_SPACELESS = 12
# The first and last line of a PEM file are not secret.
_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
# A line of an .env, INI or YAML file.
_SETTING = re.compile(r"""(?:export\s++)?([\w.-]++)["']?\s*+[=:]\s*+["']?([^\s"'=:].*?)["']?""")
# Fields of a service account's key file whose names look like those of secrets.
_PUBLIC_FIELDS = frozenset({"auth_uri", "token_uri", "auth_provider_x509_cert_url", "client_x509_cert_url"})
# Words of every executed notebook: a value among them cannot be redacted.
WORDS = (
    "cell_type metadata output_type execution_count execute_result display_data markdown attachments nbformat nbformat_minor "
    "kernelspec display_name language_info pygments_lexer codemirror_mode file_extension mimetype nbconvert_exporter "
    "papermill completed exception start_time end_time duration default_parameters environment_variables input_path "
    "output_path parameters injected-parameters traceback text/plain text/html text/markdown text/latex image/png "
    "image/svg+xml application/json application/javascript notebook-builder redacted"
)


def forms(value: str) -> dict[str, set[bytes]]:
    """Return the byte strings to search for in each view: every secret part of a value in every encoding."""
    found: dict[str, set[bytes]] = {view: set() for view in (RAW, PLAIN, SPACELESS, ENCODED)}
    common = set(WORDS.split())
    whole, lines = parts(value.strip())
    for text in (text for text in whole | lines if len(text.encode()) >= MIN_BYTES and text not in common):
        found[RAW].update(_raw(text))
        for data in _bytes_of(text):
            # What looks like an escape in the value stays one if a program writes the characters apart.
            for plain in (canonical(data), canonical(data, rounds=0)):
                spaceless = plain.replace(b" ", b"")
                if len(plain) >= MIN_PLAIN:
                    found[PLAIN].add(plain)
                # A value with white space is a phrase, which programs wrap.
                if len(spaceless) >= (MIN_BYTES if b" " in plain else MIN_SPACELESS):
                    found[SPACELESS].add(spaceless)
        # Programs encode the whole of a value, and a search for each line of a key in each encoding would be slow.
        if text in whole:
            found[SPACELESS].update((*_base64(text.encode()), *_base64(text.encode("utf-16-le"))))
            found[ENCODED].update((text.encode().hex().encode(), *_base32(text.encode())))
    return found


def parts(value: str) -> tuple[set[str], set[str]]:
    """Return the value with its parts that are secrets themselves (fields of JSON, passwords in URLs), and lines."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    is_json = isinstance(parsed, dict | list)
    texts = {text.strip() for text in _fields(parsed)} if is_json else {value}
    lines = (text.splitlines() for text in texts)
    inner = {
        part for several in lines if len(several) > 1 for line in several for part in _of_line(line.strip())
    }
    return {value, *texts, *(password for text in texts for password in _password(text))}, inner


def _fields(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts and numbers under the name of a secret, and those that look like one under any name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _PUBLIC_FIELDS:
                yield from _fields(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item, name)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        text = value if isinstance(value, str) else json.dumps(value)
        if names_secret(name) or name.lower() == "key" or has_known_form(text) or looks_random(text):
            yield text
        else:
            yield from _password(text)


def _of_line(line: str) -> Iterator[str]:
    """Yield what is secret of one line of several: the line, or the value of a setting with the name of a secret."""
    if setting := _SETTING.fullmatch(line):
        name, text = setting.groups()
        yield from (item for item in _fields(text, name))
    elif not _ARMOUR.fullmatch(line):
        yield line


def _password(text: str) -> set[str]:
    """Return the password in a URL such as `postgresql://user:password@host/db`, as written and decoded."""
    try:
        password = urlsplit(text).password if "://" in text and "\n" not in text else None
    except ValueError:
        password = None
    return {password, unquote_plus(password)} if password else set()


def _raw(text: str) -> Iterator[bytes]:
    """Yield the text as it is, in UTF-16 and UTF-32, and, if it is mostly quotes, as programs quote it."""
    yield text.encode()
    if not text.isascii():  # else they are the text with NUL bytes, for which there is a view
        for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            yield text.encode(coding)
    if len(canonical(text.encode())) < MIN_PLAIN:
        escaped = json.dumps(text)[1:-1]
        for written in (escaped, json.dumps(escaped)[1:-1], repr(text)[1:-1], text.replace("'", "''"), text.replace('"', '""')):  # fmt: skip
            yield written.encode()
        for written in (quote(text, safe=""), quote(text), html.escape(text), shlex.quote(text)):
            yield written.encode()


def _bytes_of(text: str) -> set[bytes]:
    """Return the text in UTF-8, and with the characters up to U+00FF as one byte, as `ascii` writes them."""
    single = b"".join(c.encode("latin-1") if ord(c) < 0x100 else c.encode() for c in text)  # noqa: PLR2004
    return {text.encode(), single}


def _base64(data: bytes) -> Iterator[bytes]:
    """Yield the characters that encode these bytes alone, at each offset in a longer text, in both alphabets."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        sure = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        for form in (sure, sure.translate(bytes.maketrans(b"+/", b"-_"))):
            yield canonical(form).replace(b" ", b"")


def _base32(data: bytes) -> Iterator[bytes]:
    for before in range(5):
        whole = base64.b32encode(bytes(before) + data).lower()
        yield whole[-(-before * 8 // 5) : (before + len(data)) * 8 // 5]
