"""Reads a JSON object that another process stored, such as a VM's heartbeat. Pure.

Whoever may write the object may write anything. So all that JSON allows and the programs here could trip over is one error:
bytes that are not UTF-8, infinity, keys that stand twice, nesting that a recursive function could not follow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

JsonObject = dict[str, Any]
DEEPEST = 100  # levels of objects and lists; parameters may have 40, and nothing wraps them in more than ten


class UnreadableJson(ValueError):
    """The text is not a JSON object that can be used; the message says why."""


def read_object(raw: bytes | str) -> JsonObject:
    """Return the JSON object in `raw`. Takes time proportional to its length.

    Raises:
        UnreadableJson: the text is no JSON, no object, or holds what no program here writes.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except UnreadableJson:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise UnreadableJson(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise UnreadableJson("expected an object")
    if is_deeper(value, DEEPEST):
        raise _too_deep()
    return value


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
            raise UnreadableJson(f"{name[:80]}: stands twice in one object")
        value[name] = item
    return value


def _no_constant(name: str) -> NoReturn:
    raise UnreadableJson(f"{name} is no JSON number")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise UnreadableJson(f"{word[:80]} is too large for a number")
    return number


def _too_deep() -> UnreadableJson:
    return UnreadableJson(f"nested in more than {DEEPEST} levels")
