"""A value is found in every form in which ordinary programs write it, and ordinary words are left alone.

`FORMS` is the list that docs/secrets.md promises. Hypothesis makes the values and what stands beside them.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import pprint
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import quoteattr

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.vm.runner.redaction import Redactor, Stream
from builder.vm.runner.secret_forms import MIN_BYTES, WORDS
from builder.vm.secret_like import looks_random

ROOT = Path(__file__).resolve().parents[2]


def _csv(value: str, **how: object) -> str:
    target = io.StringIO()
    csv.writer(target, **how).writerow([1, value, "x,y"])  # type: ignore[arg-type]
    return target.getvalue()


def _each(value: str, write: Callable[[str], str]) -> str:
    return "".join(map(write, value))


def _utf16_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _hex_codes(value: str, write: str, between: str) -> str:
    return between.join(write.format(byte) for byte in value.encode())


def _wrapped(text: str, width: int, indent: str = "") -> str:
    return f"\n{indent}".join(text[at : at + width] for at in range(0, len(text), width))


def _b64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


# Each writes a value as the named program does.
FORMS: dict[str, Callable[[str], str | bytes]] = {
    "itself": str,
    "JSON": json.dumps,
    "JSON in Unicode": lambda v: json.dumps(v, ensure_ascii=False),
    "JSON with slashes escaped, as PHP": lambda v: json.dumps(v).replace("/", "\\/"),
    "JSON for a page, as Go and Django": lambda v: re.sub("[<>&]", lambda c: _utf16_escape(c[0]), json.dumps(v)),
    "JSON in JSON": lambda v: json.dumps(json.dumps(v)),
    "JSON in JSON in JSON": lambda v: json.dumps(json.dumps(json.dumps(v))),
    "JSON, each character escaped": lambda v: _each(v, _utf16_escape),
    "JavaScript's short escapes": lambda v: _each(v, lambda c: f"\\x{ord(c):02x}" if c < "\x80" else c),
    "JavaScript's long escapes": lambda v: _each(v, lambda c: f"\\u{{{ord(c):x}}}"),
    "repr": repr,
    "repr of bytes": lambda v: repr(v.encode()),
    "ascii": ascii,
    "repr in JSON": lambda v: json.dumps(repr(v)),
    "pprint in a narrow window": lambda v: pprint.pformat({"key": v}, width=20),
    "a regular expression": re.escape,
    "HTML": html.escape,
    "HTML text": lambda v: html.escape(v, quote=False),
    "HTML with decimal quotes, as MarkupSafe": lambda v: html.escape(v).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "HTML with named quotes": lambda v: html.escape(v).replace("&#x27;", "&apos;"),
    "HTML, each character": lambda v: _each(v, lambda c: f"&#{ord(c)};"),
    "HTML, each character in hex": lambda v: _each(v, lambda c: f"&#X{ord(c):X};"),
    "HTML twice": lambda v: html.escape(html.escape(v)),
    "an attribute of XML": quoteattr,
    "JSON in an attribute": lambda v: html.escape(json.dumps(v)),
    "URL, everything quoted": lambda v: quote(v, safe=""),
    "URL in lower case": lambda v: re.sub("%..", lambda c: c[0].lower(), quote(v, safe="")),
    "a path": quote,
    "a form": quote_plus,
    "a query": lambda v: urlencode({"key": v}),
    "a URL that requests repairs": lambda v: quote(v, safe="!#$&'()*+,/:;=?@[]~"),
    "URL, each byte": lambda v: _hex_codes(v, "%{:02X}", ""),
    "URL twice": lambda v: quote(quote(v, safe=""), safe=""),
    "URL in JSON in HTML": lambda v: html.escape(json.dumps(quote(v))),
    "SQL": lambda v: "'" + v.replace("'", "''") + "'",
    "SQL of MySQL": lambda v: re.sub(r"(['\"\\])", r"\\\1", v),
    "a name in SQL": lambda v: '"' + v.replace('"', '""') + '"',
    "CSV": _csv,
    "CSV, all quoted": lambda v: _csv(v, quoting=csv.QUOTE_ALL),
    "CSV with escapes": lambda v: _csv(v, quoting=csv.QUOTE_NONE, escapechar="\\"),
    "a shell": shlex.quote,
    "a shell's printf %q": lambda v: re.sub(r"([^\w@%+=:,./-])", r"\\\1", v),
    "a shell's $''": lambda v: "$'" + _each(v, lambda c: f"\\{ord(c):03o}" if c < "\x80" and not c.isalnum() else c) + "'",
    "a shell in JSON": lambda v: json.dumps(f"curl -H {shlex.quote(v)}"),
    "YAML": lambda v: yaml.safe_dump({"key": v}),
    "YAML in double quotes": lambda v: yaml.safe_dump({"key": v}, default_style='"', allow_unicode=True),
    "coloured characters": lambda v: _each(v, lambda c: f"\x1b[1;31m{c}\x1b[0m"),
    "coloured characters in JSON": lambda v: json.dumps(_each(v, lambda c: f"\x1b[38;5;9m{c}\x1b[0m")),
    "spans of a page": lambda v: _each(v, lambda c: f'<span class="p">{html.escape(c)}</span>'),
    "base64": _b64,
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()),
    "base64 without padding": lambda v: _b64(v).rstrip("="),
    "base64 in a URL": lambda v: quote(_b64(v), safe=""),
    "base64 in JSON of PHP": lambda v: json.dumps(_b64(v)).replace("/", "\\/"),
    "base64 in a mail": lambda v: base64.encodebytes(v.encode() * 9),
    "base64 of PEM": lambda v: _wrapped(_b64(v * 9), 64),
    "base64 in YAML": lambda v: _wrapped(_b64(v * 3), 20, "    "),
    "base64 in a repr": lambda v: repr(base64.encodebytes(v.encode() * 9)),
    "base64 of UTF-16": lambda v: base64.b64encode(v.encode("utf-16-le")),
    "basic authentication": lambda v: "Basic " + _b64(f"someone:{v}"),
    "basic authentication in lines": lambda v: base64.encodebytes(f"{'u' * 50}:{v}".encode()),
    "base32": lambda v: base64.b32encode(v.encode()),
    "base32 in lower case, in lines": lambda v: _wrapped(base64.b32encode(v.encode()).decode().lower(), 8),
    "hex": lambda v: v.encode().hex(),
    "HEX": lambda v: v.encode().hex().upper(),
    "hex with colons": lambda v: v.encode().hex(":"),
    "hex in pairs of bytes": lambda v: v.encode().hex(" ", 2),
    "hex in lines": lambda v: _wrapped(v.encode().hex(), 60),
    "hex in C": lambda v: _hex_codes(v, "0x{:02x}", ", "),
    "hex in a shell": lambda v: _hex_codes(v, "\\x{:02x}", ""),
    "UTF-16": lambda v: v.encode("utf-16"),
    "UTF-16, big end first": lambda v: v.encode("utf-16-be"),
    "UTF-32, as in NumPy's arrays": lambda v: v.encode("utf-32-le"),
    "UTF-32, big end first": lambda v: v.encode("utf-32-be"),
}  # fmt: skip
# What may be left of a form without the value: quotes at its ends, and characters of base64 that also encode
# neighbours.
LEFT = 30

ASCII = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PUNCTUATION = st.sampled_from("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
LETTERS = st.sampled_from("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
MIXED = st.one_of(LETTERS, LETTERS, PUNCTUATION, st.sampled_from("äßÜ€ł日😀 "))


def values(characters: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    """Values that NB_SECRETS accepts.

    Those of one character again and again are none that a program makes. Words of every notebook cannot be redacted.
    """
    made = (
        st.text(characters, min_size=10, max_size=most)
        .map(str.strip)
        .filter(lambda v: v not in WORDS.split())
    )
    return made.filter(lambda v: len(re.sub(rb"[\s+]", b"", v.encode())) >= MIN_BYTES and len(set(v)) > 5)


def written_by(name: str, value: str) -> bytes:
    form = FORMS[name](value)
    return form if isinstance(form, bytes) else form.encode("utf-8", "surrogatepass")


def check(name: str, value: str, before: bytes, after: bytes) -> None:
    """The form is gone, and what stood beside it is not."""
    written = written_by(name, value)
    made = Redactor({"KEY": value}).data(before + written + after)
    assert b"[redacted KEY]" in made
    assert made.startswith(before)
    assert made.endswith(after)
    left = made[len(before) : len(made) - len(after)].replace(b"[redacted KEY]", b"")
    assert len(left) <= len(written_by(name, "##")) + LEFT
    assert written not in made
    assert value.encode() not in left


NEIGHBOURS = st.sampled_from(
    [b"", b"is ", b"key=", b'{"a": "', b"https://host/?k=", b"<td>", b"\x1b[31m", b"\n", b"(100%) "]
)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(
    value=st.one_of(values(MIXED, 40), values(LETTERS, 60), values(ASCII, 24)),
    before=NEIGHBOURS,
    after=st.sampled_from([b"", b" ok", b"&x=1", b'"}', b"</td>", b"\n", b"\x1b[0m"]),
)
def test_every_form_is_found(name: str, value: str, before: bytes, after: bytes) -> None:
    check(name, value, before, after)


@settings(max_examples=50, deadline=None)
@given(
    value=values(MIXED, 30),
    names=st.lists(st.sampled_from(list(FORMS)), min_size=1, max_size=3),
    cut=st.integers(1, 50),
    between=NEIGHBOURS,
)
def test_a_stream_finds_what_the_whole_has(value: str, names: list[str], cut: int, between: bytes) -> None:
    data = between.join([b"", *(written_by(name, value) for name in names), b" end"])
    stream = Stream(Redactor({"KEY": value}))
    pieces = [stream.feed(data[at : at + cut]) for at in range(0, len(data), cut)]
    made = b"".join(pieces) + stream.end()
    assert b"[redacted KEY]" in made
    assert value.encode() not in made
    assert all(written_by(name, value) not in made for name in names)


@pytest.mark.parametrize("value", ["2222&A234;", "2222&amp234;", "2222&amp;A234;"])
def test_a_value_with_a_name_of_no_character_is_found_in_html(value: str) -> None:
    check("HTML", value, b"<td>", b"</td>")


@pytest.mark.parametrize("name", FORMS)
def test_a_stream_of_single_bytes_finds_every_form(name: str) -> None:
    value = 'c4nary-Ünit 0"42"\\<&>/+?'
    data = b"is " + written_by(name, value) + b" end"
    stream = Stream(Redactor({"KEY": value}))
    made = b"".join(stream.feed(data[at : at + 1]) for at in range(len(data))) + stream.end()
    assert b"[redacted KEY]" in made
    assert written_by(name, value) not in made
    assert made.endswith(b" end")


DATABASE = {
    "engine": "postgres", "host": "localhost", "port": 5432, "dbname": "customers", "username": "administrator",
    "password": "hunter2hunter2", "url": "postgresql://administrator:tr0ub4dor&3@localhost/customers",
}  # fmt: skip


def test_only_the_secret_fields_of_a_json_value_are_secret() -> None:
    redactor = Redactor({"DB": json.dumps(DATABASE)})
    words = "postgres localhost customers administrator 5432 postgresql"
    assert redactor.text(words) == words
    assert redactor.text("with hunter2hunter2 or tr0ub4dor&3") == "with [redacted DB] or [redacted DB]"
    assert redactor.text(repr(DATABASE)) == "[redacted DB]"
    assert redactor.text("tr0ub4dor%263") == "[redacted DB]"


@pytest.mark.parametrize(
    ("value", "secret", "ordinary"),
    [
        pytest.param({"a": {"apiKey": ["fjords-and-owls"]}}, "fjords-and-owls", "", id="list under a name"),
        pytest.param({"credentials": {"login": "analytics", "pwd": "marmalade"}}, "marmalade", "analytics", id="nested"),
        pytest.param({"pin_token": 1234567890}, "1234567890", "", id="number"),
        pytest.param({"a": "q8Zt0VvLr3nWkX2bYc7u"}, "q8Zt0VvLr3nWkX2bYc7u", "", id="random under any name"),
        pytest.param({"a": "0f" * 16 + "9b3c8d7e"}, "", "0f" * 16 + "9b3c8d7e", id="regular hex"),
        pytest.param({"a": "ghp_" + "a1B2" * 9}, "ghp_" + "a1B2" * 9, "", id="known form"),
        pytest.param({"client_id": "1f3870be-274f-46c4-9b3e-31a0c6728957"}, "", "1f3870be-274f-46c4-9b3e-31a0c6728957", id="UUID"),
        pytest.param({"token_uri": "https://oauth2.googleapis.com/token"}, "", "https://oauth2.googleapis.com/token", id="address"),
        pytest.param("DB_HOST=db-production\nexport DB_PASSWORD='marmalade'\n", "marmalade", "DB_HOST=db-production", id=".env"),
        pytest.param("host: db-production\npassword: marmalade", "marmalade", "host: db-production", id="YAML"),
        pytest.param("mysql://root:marmalade@db-production/x", "marmalade", "db-production", id="URL"),
        pytest.param("first line 1\nsecond line 2", "second line 2", "", id="lines"),
    ],
)  # fmt: skip
def test_which_parts_of_a_value_are_secret(value: object, secret: str, ordinary: str) -> None:
    redactor = Redactor({"KEY": value if isinstance(value, str) else json.dumps(value)})
    assert redactor.text(secret) == ("[redacted KEY]" if secret else "")
    assert redactor.text(ordinary) == ordinary


@settings(max_examples=10, deadline=None)
@given(values(LETTERS, 24), values(PUNCTUATION, 12), st.integers(10**9, 10**12))
def test_ordinary_text_is_left_alone(letters: str, punctuation: str, number: int) -> None:
    redactor = Redactor({"A": letters, "B": "x1" + punctuation, "C": str(number), "D": json.dumps(DATABASE)})
    for path in ("README.md", "CHANGELOG.md", "docs/dashboard.png", "examples/bike-share/notebooks.yaml", "tests/notebooks/passes.ipynb"):  # fmt: skip
        data = (ROOT / path).read_bytes()
        assert redactor.data(data) == data


@pytest.mark.parametrize("text", ["the-quick-brown-fox-jumps-over", "my_project.dataset.table_name_of_2018", "2018-04-01T00:00:00+00:00"])  # fmt: skip
def test_ordinary_names_do_not_look_random(text: str) -> None:
    assert not looks_random(text)
