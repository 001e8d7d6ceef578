"""Reads JSON or YAML text as plain data, with the line of every key, and refuses what would surprise.

YAML as its version 1.2 means it: only true and false are booleans, `12:30`, `007` and `2026-07-01` are text. No tags, no aliases,
no key twice in a mapping. Imported only where there is something to read: PyYAML costs a process 15 ms.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from builder.options.values import DEEPEST, Unfit, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LONGEST_TEXT = (
    64 * 1024
)  # characters; the parser is pure Python, and the worst text of this length takes it half a second
LONGEST_JSON = 4 * 2**20  # characters; a machine writes so much, with the parameters of many notebooks
MOST_VALUES = 20_000
LONGEST_NUMBER = 1000  # digits
_TOO_LONG = f"at most {LONGEST_NUMBER} digits; put it in quotes if it is text"
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_WHOLE = r"[-+]?(?:0|[1-9][0-9]{0,999})"
_FRACTION = r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,5})?"
_NO_NUMBER = frozenset({".inf", "-.inf", "+.inf", ".nan"})


class Lined(dict[str, Any]):
    """A mapping that remembers on which line each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class YamlMistake(Unfit):
    """Text that is no YAML, or more than we take; `line` (from 1) says where, if that can be told."""

    def __init__(self, expected: str, line: int | None = None, value: object = None) -> None:
        super().__init__(expected, value)
        self.line = line


def read_data(text: str) -> object:
    """The data in JSON or YAML text; raises Unfit (YamlMistake where a line can be told)."""
    if text.lstrip().startswith("{"):
        try:
            return _read_json(text)
        except RecursionError:
            raise Unfit(f"at most {DEEPEST} levels of nesting") from None
        except _NoJson:
            pass
    return read_yaml(text)


def read_yaml(text: str) -> object:
    """The data of one YAML document, mappings as `Lined`; raises YamlMistake.

    What is too long for that may still be JSON, whose reader is quick; then no key's line is known.
    """
    if len(text) > LONGEST_TEXT:
        if text.startswith("{") and len(text) <= LONGEST_JSON:
            return _read_long_json(text)
        raise YamlMistake(f"at most {LONGEST_TEXT} characters of YAML")
    try:
        return _Reader(yaml.parse(text, Loader=yaml.BaseLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlMistake(
            f"this is no valid YAML: {printable(error.problem or error.context or '')}",
            mark.line + 1 if mark else None,
        ) from None
    except yaml.YAMLError:
        raise YamlMistake("expected YAML without control characters") from None


class _Reader:
    """Builds data from the parser's events: a text that is too deep or too long is left as soon as that shows."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._values = 0

    def document(self) -> object:
        """The only document's data; None where there is none."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), 0)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise YamlMistake("expected one document only", _line(after))
        return data

    def _value(self, event: yaml.Event, depth: int) -> object:
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise YamlMistake(f"at most {DEEPEST} levels and {MOST_VALUES} values", _line(event))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlMistake(
                "anchors and aliases (& and *) are not accepted; quote text that begins so", _line(event)
            )
        if getattr(event, "tag", None) is not None:
            raise YamlMistake("tags (!) are not accepted; quote text that begins so", _line(event))
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event.value, _line(event)) if event.style is None else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        result = Lined()
        for key_event in self._until(yaml.MappingEndEvent):
            key = self._key(key_event, result)
            result.lines[key] = _line(key_event)
            result[key] = self._value(next(self._events), depth + 1)
        return result

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _key(self, event: yaml.Event, mapping: Lined) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise YamlMistake("expected plain text as a key", _line(event))
        key = str(event.value)
        if key == "<<":
            raise YamlMistake("merge keys (<<) are not accepted", _line(event))
        if key in mapping:
            raise YamlMistake(
                f"this key stands on line {mapping.lines[key]} already", _line(event), printable(key)
            )
        return key


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _plain(word: str, line: int) -> object:
    if word in _WORDS:
        return _WORDS[word]
    if word.lower() in _NO_NUMBER:
        raise YamlMistake("expected a finite number, or text in quotes", line, word)
    if re.fullmatch(_WHOLE, word):
        return int(word)
    if re.fullmatch(r"[-+]?[1-9][0-9]{1000,}", word):
        raise YamlMistake(_TOO_LONG, line, printable(word))
    leading_zero = re.match(r"[-+]?0[0-9]", word)
    if leading_zero or not re.fullmatch(_FRACTION, word):
        return word
    number = float(word)
    if not math.isfinite(number):
        raise YamlMistake("expected a finite number, or text in quotes", line, printable(word))
    return number


class _NoJson(ValueError):
    """The text is not JSON; it may be YAML."""


def _read_long_json(text: str) -> object:
    try:
        return _read_json(text, _lined)
    except RecursionError:
        raise YamlMistake(f"at most {DEEPEST} levels of nesting") from None
    except _NoJson:
        raise YamlMistake(f"at most {LONGEST_TEXT} characters of YAML, and this is no JSON") from None
    except Unfit as unfit:
        ((value, expected),) = unfit.faults
        raise YamlMistake(expected, None, value) from None


def _read_json(text: str, mapping: Callable[[Any], dict[str, Any]] | None = None) -> object:
    try:
        return json.loads(
            text,
            object_pairs_hook=mapping or _unique,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
        )
    except Unfit:
        raise
    except ValueError as error:
        raise _NoJson from error


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise Unfit("this key is given twice", printable(key))
        result[key] = value
    return result


def _lined(pairs: Iterable[tuple[str, object]]) -> Lined:
    """The same with no line (0) for any key."""
    result = Lined()
    result.update(_unique(pairs))
    result.lines = dict.fromkeys(result, 0)
    return result


def _whole(word: str) -> int:
    if len(word) > LONGEST_NUMBER:
        raise Unfit(_TOO_LONG, printable(word))
    return int(word)


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise Unfit("expected finite numbers", printable(word))
    return number
