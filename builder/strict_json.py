"""Reads JSON that a user, another process or a VM may have written. Pure.

Everything that JSON allows and no program here writes is one error: bytes that are not UTF-8, infinity, repeated keys,
long numbers, and nesting that a recursive function could not follow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

JsonObject = dict[str, Any]
MAX_DEPTH = 100  # levels of objects and lists; parameters have up to 40, wrapped in at most ten
MAX_NUMBER = 1000  # digits
_MAX_SHOWN = 80  # characters of a value in an error
TOO_LONG = f"at most {MAX_NUMBER} digits in a number; put it in quotes if it is text"


class UnreadableJson(ValueError):
    """The text is not JSON that can be used. `part` is the key or number at fault; the message repeats no number."""

    def __init__(self, message: str, part: str | None = None) -> None:
        super().__init__(message)
        self.part = part


class NotJson(UnreadableJson):
    """The text is not JSON at all."""


def read_object(raw: bytes | str) -> JsonObject:
    """Return the JSON object in `raw`. Takes time proportional to its length.

    Raises:
        UnreadableJson: the text is no JSON, no object, or holds what no program here writes.
    """
    value = read_value(raw)
    if not isinstance(value, dict):
        raise UnreadableJson("expected an object")
    return value


def read_value(raw: bytes | str) -> Any:
    """Return the JSON value in `raw`; see `read_object`. Raises NotJson if the text is not JSON."""
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except UnreadableJson:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise NotJson(f"not valid JSON ({error})") from error
    if is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def read_document(raw: bytes, schema: int) -> JsonObject:
    """Return the JSON object in `raw`, whose field `schema` must be this number. Raises UnreadableJson."""
    document = read_object(raw)
    found = document.get("schema")
    if type(found) is not int or found != schema:
        raise UnreadableJson(f"its schema is {ascii(found)[:_MAX_SHOWN]}, and {schema} was expected")
    return document


def readable(raw: bytes | None, schema: int | None = None) -> JsonObject | None:
    """Return the JSON object in `raw`, with this number in its field `schema` if one is given; None if it is none."""
    try:
        return read_object(raw or b"") if schema is None else read_document(raw or b"", schema)
    except UnreadableJson:
        return None


def is_deeper(value: Any, levels: int) -> bool:
    """Return True if objects and lists in `value` are nested in more levels. Needs no recursion itself."""
    level = _containers([value])
    for _ in range(levels):
        level = [
            inner
            for item in level
            for inner in _containers(item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def _containers(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if isinstance(item, dict | list)]


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    value: JsonObject = {}
    for name, item in pairs:
        if name in value:
            raise UnreadableJson(f"the key {name[:80]!r} is given twice", name)
        value[name] = item
    return value


def _no_constant(name: str) -> NoReturn:
    raise UnreadableJson(f"{name} is no JSON number; expected a finite one", name)


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise UnreadableJson("a number is too large; expected a finite one, or text", word)
    return number


def _whole(word: str) -> int:
    if len(word) > MAX_NUMBER:
        raise UnreadableJson(TOO_LONG, word)
    return int(word)


def _too_deep() -> UnreadableJson:
    return UnreadableJson(f"at most {MAX_DEPTH} levels of nesting")
