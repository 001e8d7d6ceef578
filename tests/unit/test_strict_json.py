"""Strict JSON: one error for everything that JSON allows and no program here writes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from builder.act import proofs
from builder.deploy import live
from builder.errors import ProjectSetup
from builder.function.live import LiveUnreadable, read_live
from builder.plan.deployed import decode_manifest
from builder.plan.notebooks import UnreadableNotebook, load_notebook
from builder.strict_json import MAX_DEPTH, UnreadableJson, is_deeper, read_object
from builder.vm.codec import ProtocolError
from builder.vm.protocol import Evidence

HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": json.dumps({"a": 1}).encode("utf-16"),
    "infinity": b'{"schema": Infinity}',
    "minus infinity": b'{"schema": -Infinity}',
    "no number": b'{"schema": NaN}',
    "too large a number": b'{"schema": 1e999}',
    "many digits": b'{"schema": ' + b"9" * 5000 + b"}",
    "a key twice": b'{"schema": 1, "schema": 1}',
    "a key twice inside": b'{"a": [{"b": 1, "b": 1}]}',
    "open nesting": b'{"schema":' * 100_000,
    "open lists": b'{"schema":' + b"[" * 100_000,
    "closed nesting": b'{"schema":' * 300 + b"1" + b"}" * 300,
    "closed lists": b'{"schema":' + b"[" * 300 + b"]" * 300 + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_one_error(name: str) -> None:
    with pytest.raises(UnreadableJson):
        read_object(HOSTILE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_readers_of_documents_raise_the_documented_errors(name: str) -> None:
    raw = HOSTILE[name]
    assert proofs.decode(raw) is None
    readers: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: Evidence.decode(raw), ProtocolError),
        (lambda: live.decode(raw, "gs://b/live.json"), ProjectSetup),
        (lambda: read_live(raw), LiveUnreadable),
        (lambda: decode_manifest(raw), ValueError),
        (lambda: load_notebook(raw), UnreadableNotebook),
    ]
    for read, expected in readers:
        with pytest.raises(expected):
            read()


def test_levels_are_counted() -> None:
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert read_object(f'{{"a": {deepest}}}') == {"a": json.loads(deepest)}
    with pytest.raises(UnreadableJson, match="levels"):
        read_object(f'{{"a": [{deepest}]}}')
    assert not is_deeper(1, 0)
    assert is_deeper([], 0)
    assert not is_deeper([1, {"a": 2}], 2)
    assert is_deeper([1, {"a": [2]}], 2)
