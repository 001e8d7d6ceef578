"""Reads JSON or YAML text as plain data, with the line of every key.

YAML has the meaning of its version 1.2: only true and false are booleans; `12:30`, `007` and `2026-07-01` are text.
Tags, aliases and repeated keys are refused. Import this module only where there is text to read: PyYAML takes 15 ms to
import.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from builder.options.values import MAX_DEPTH, InvalidValue
from builder.options.yaml_mistakes import BRACE, STAR, TAG, explained
from builder.plain_text import escaped
from builder.strict_json import TOO_LONG, NotJson, UnreadableJson, read_value

if TYPE_CHECKING:
    from collections.abc import Iterator

# Characters. The parser is pure Python, and the worst text of this length takes it half a second.
MAX_TEXT = 64 * 1024
MAX_JSON = 4 * 2**20  # characters; export_options writes long files, with the parameters of many notebooks
MAX_VALUES = 20_000
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_WHOLE = r"[-+]?(?:0|[1-9][0-9]{0,999})"
_FRACTION = r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,5})?"
_NO_NUMBER = frozenset({".inf", "-.inf", "+.inf", ".nan"})


class Lined(dict[str, Any]):
    """A mapping with the line (from 1) of each of its keys; 0 where it is unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class YamlMistake(InvalidValue):
    """Text that is not YAML, or exceeds a limit. `line` and `column` count from 1; 0 where they are unknown."""

    def __init__(self, expected: str, line: int = 0, column: int = 0, part: object = None) -> None:
        super().__init__(expected, "" if part is None and line else part)
        self.line = line
        self.place = f" line {line}, column {column}" if line else ""


def read_data(text: str) -> object:
    """Return the data in JSON or YAML text. Raises InvalidValue, as YamlMistake where the line is known."""
    if text.lstrip().startswith("{"):
        try:
            return read_value(text)
        except NotJson:
            pass
        except UnreadableJson as error:
            raise InvalidValue(str(error), error.part and escaped(error.part)) from None
    return read_yaml(text)


def read_yaml(text: str) -> object:
    """Return the data of one YAML document, with mappings as `Lined`. Raises YamlMistake.

    Longer text may still be JSON, whose parser is fast; the lines of its keys are unknown.
    """
    if len(text) > MAX_TEXT:
        if text.startswith("{") and len(text) <= MAX_JSON:
            return _read_long_json(text)
        raise YamlMistake(f"at most {MAX_TEXT} characters of YAML")
    try:
        return _Reader(yaml.parse(text, Loader=yaml.BaseLoader)).document()
    except yaml.MarkedYAMLError as error:
        raise YamlMistake(*explained(text, error)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise YamlMistake("expected text without control characters", line, column) from None


class _Reader:
    """Builds data from the parser's events, and stops at the first event beyond a limit."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._values = 0

    def document(self) -> object:
        """Return the only document's data, or None if there is no document."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), 0)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise YamlMistake(
                "expected one document; remove the line with --- and what follows it", *_place(after)
            )
        return data

    def _value(self, event: yaml.Event, depth: int) -> object:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise YamlMistake(f"at most {MAX_DEPTH} levels and {MAX_VALUES} values", *_place(event))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlMistake(STAR, *_place(event))
        if getattr(event, "tag", None) is not None:
            raise YamlMistake(TAG, *_place(event))
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event) if event.style is None else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        result = Lined()
        for key_event in self._until(yaml.MappingEndEvent):
            key = self._key(key_event, result)
            result.lines[key] = _place(key_event)[0]
            following = next(self._events)
            if _is_bare(key_event, following):
                raise YamlMistake(BRACE, *_place(event))
            result[key] = self._value(following, depth + 1)
        return result

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _key(self, event: yaml.Event, mapping: Lined) -> str:
        if isinstance(event, yaml.MappingStartEvent) and event.flow_style:
            raise YamlMistake(BRACE, *_place(event))
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise YamlMistake("expected plain text before the colon, such as timeout: 2400", *_place(event))
        key = str(event.value)
        if key == "<<":
            raise YamlMistake(
                "merge keys (<<) are not accepted; write the values in each place", *_place(event)
            )
        if key in mapping:
            expected = f"this is already on line {mapping.lines[key]}; write it once"
            raise YamlMistake(expected, *_place(event), escaped(key))
        return key


def _place(event: yaml.Event) -> tuple[int, int]:
    """Return an event's line and column from 1; zeros if they are unknown."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _is_bare(key: yaml.Event, value: yaml.Event) -> bool:
    """Tell if a key has neither value nor colon, as in {today}, which is meant as text."""
    if not isinstance(value, yaml.ScalarEvent) or value.value or not (value.start_mark and key.end_mark):
        return False
    return value.style is None and value.start_mark.index == key.end_mark.index


def _plain(event: yaml.ScalarEvent) -> object:
    word = str(event.value)
    if word in _WORDS:
        return _WORDS[word]
    if word.lower() in _NO_NUMBER:
        raise YamlMistake("expected a finite number, or text in quotes", *_place(event), word)
    if re.fullmatch(_WHOLE, word):
        return int(word)
    if re.fullmatch(r"[-+]?[1-9][0-9]{1000,}", word):
        raise YamlMistake(TOO_LONG, *_place(event), escaped(word))
    leading_zero = re.match(r"[-+]?0[0-9]", word)
    if leading_zero or not re.fullmatch(_FRACTION, word):
        return word
    number = float(word)
    if not math.isfinite(number):
        raise YamlMistake("expected a finite number, or text in quotes", *_place(event), escaped(word))
    return number


def _read_long_json(text: str) -> object:
    try:
        return _lined(read_value(text))
    except NotJson:
        raise YamlMistake(f"at most {MAX_TEXT} characters of YAML, and this is no JSON") from None
    except UnreadableJson as error:
        raise YamlMistake(str(error), part=error.part and escaped(error.part)) from None


def _lined(value: Any) -> Any:
    """Return the data with every mapping as a `Lined` that knows no line (0)."""
    if isinstance(value, list):
        return [_lined(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = Lined()
    result.update({key: _lined(item) for key, item in value.items()})
    result.lines = dict.fromkeys(result, 0)
    return result
