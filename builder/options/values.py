"""Types of option values: how each is read from text or YAML, written back, and described in JSON Schema.

Nothing here knows an option's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = dict[str, Any]

MAX_TEXT = 1024  # characters; no object name of Cloud Storage, pattern or address is longer
MAX_DEPTH = 40  # levels of lists and mappings in one value
NONE = "none"  # the word that unsets a value
TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
PAIRS: Schema = {"type": ["object", "string"], "additionalProperties": {"type": ["string", "integer"]}}
# Control bytes, lone surrogates, and invisible marks that make one name look like another.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class InvalidValue(ValueError):
    """A value that is not accepted. `faults` pairs each wrong part (None: the whole value) with what is expected.

    `place` says where in the value, as text to add to its name; empty if it says nothing.
    """

    place = ""

    def __init__(self, expected: str, part: object = None) -> None:
        super().__init__(expected)
        self.faults: list[tuple[object, str]] = [(part, expected)]


def refuse(faults: Iterable[tuple[object, str]]) -> None:
    """Raise one InvalidValue with all faults; do nothing if there are none."""
    found = list(faults)
    if found:
        refusal = InvalidValue(found[0][1])
        refusal.faults = found
        raise refusal


@dataclass(frozen=True)
class ValueType(Generic[T_co]):
    """The type of an option's value.

    `parse` returns the value, or raises InvalidValue with what it accepts. `encode` turns a value into JSON data that
    `parse` accepts. `none` is the word that `parse` takes for None.
    """

    parse: Callable[[object], T_co]
    schema: Schema
    encode: Callable[[Any], Any] = lambda value: value
    none: str | None = None

    def write(self, value: Any) -> Any:
        """Return JSON data that `parse` reads back as the value, or None to leave the option out."""
        return self.none if value is None else self.encode(value)


def parse_text(value: object) -> str:
    """Return text without control characters; YAML's whole numbers count as text. Raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidValue("expected text; in YAML, put it in quotes")
    result = str(value).strip()
    if len(result) > MAX_TEXT:
        raise InvalidValue(f"at most {MAX_TEXT} characters")
    if _UNSAFE.search(result):
        raise InvalidValue("text without control or invisible characters")
    if not result:
        raise InvalidValue("expected text, but it is empty")
    return result


text = ValueType(parse_text, TEXT)


def matching(pattern: str, expected: str) -> ValueType[str]:
    """Return the type of text that the whole pattern matches."""

    def parse(value: object) -> str:
        result = parse_text(value)
        if not re.fullmatch(pattern, result):  # compiled at its first use: most runs use few of them
            raise InvalidValue(expected)
        return result

    return ValueType(parse, TEXT)


def one_of(words: Sequence[str]) -> ValueType[str]:
    """Return the type of text that is one of at least two words."""
    expected = f"expected {', '.join(words[:-1])} or {words[-1]}"

    def parse(value: object) -> str:
        if value not in words:  # no set: YAML may give a list
            raise InvalidValue(expected)
        return str(value)

    return ValueType(parse, {"enum": list(words)})


def _parse_boolean(value: object) -> bool:
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    if word in {"true", "yes", "1"}:
        return True
    if word in {"false", "no", "0"}:
        return False
    raise InvalidValue("expected true or false (yes, no, 1 and 0 also do)")


boolean = ValueType(_parse_boolean, BOOLEAN)


def whole_number(lowest: int, highest: int, what: str) -> ValueType[int]:
    """Return the type of whole numbers in a range; `what` names the unit in messages."""
    expected = f"expected {what} as a whole number from {lowest} to {highest}"

    def parse(value: object) -> int:
        digits = str(value).strip() if isinstance(value, str) else value
        if isinstance(digits, str) and re.fullmatch(r"[0-9]{1,18}", digits):
            digits = int(digits)
        if isinstance(digits, bool) or not isinstance(digits, int) or not lowest <= digits <= highest:
            raise InvalidValue(expected)
        return digits

    return ValueType(parse, {"type": "integer", "minimum": lowest, "maximum": highest})


def seconds(lowest: int, highest: int) -> ValueType[int]:
    """Return the type of durations in whole seconds; `2400s`, which Cloud Build writes, equals `2400`."""
    number = whole_number(lowest, highest, "seconds")

    def parse(value: object) -> int:
        return number.parse(value.strip().removesuffix("s") if isinstance(value, str) else value)

    return ValueType(parse, number.schema)


NEVER = "never"
_UNITS = {"h": 3600, "d": 86400}
_MAX_AGE_SECONDS = 366 * 86400


def _parse_age(value: object) -> int | None:
    word = str(value).strip().lower() if isinstance(value, str) else ""
    if word == NEVER:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", word)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _MAX_AGE_SECONDS:
        raise InvalidValue("expected never, or an age in hours or days such as 12h or 7d, at most 366d")
    return seconds


# An age in seconds, written in hours or days; None for `never`.
age = ValueType(
    _parse_age,
    {"type": "string", "pattern": "^(never|[1-9][0-9]{0,3}[hd])$"},
    lambda value: f"{value // 3600}h",
    NEVER,
)


def or_none(inner: ValueType[T]) -> ValueType[T | None]:
    """Return the type that also takes the word `none`, which means no value and unsets a file's setting."""

    def parse(value: object) -> T | None:
        if isinstance(value, str) and value.strip().lower() == NONE:
            return None
        return inner.parse(value)

    own = inner.schema["type"]
    types = dict.fromkeys([*(own if isinstance(own, list) else [own]), "string"])
    schema = inner.schema if inner.schema == TEXT else {**inner.schema, "type": list(types)}
    return ValueType(parse, schema, inner.encode, none=NONE)


def items(value: object) -> list[object]:
    """Return the entries of a YAML list, or of text separated by commas or newlines, without empty ones."""
    if isinstance(value, str):
        return [item for part in re.split(r"[,\n]", value) if (item := part.strip())]
    if isinstance(value, list):
        return list(value)
    raise InvalidValue("expected a list, or text separated by commas or newlines")


def list_of(item: ValueType[T], *, at_most: int = 1000) -> ValueType[tuple[T, ...]]:
    """Return the type of lists of at least one entry. A repeated entry counts once."""

    def parse(value: object) -> tuple[T, ...]:
        entries = items(value)
        if not entries:
            raise InvalidValue("expected at least one entry")
        if len(entries) > at_most:
            raise InvalidValue(f"at most {at_most} entries")
        return tuple(dict.fromkeys(parse_each(entries, item.parse)))

    def encode(value: Iterable[T]) -> list[Any] | None:
        return [item.encode(entry) for entry in value] or None

    schema = {"type": ["array", "string"], "items": item.schema, "minItems": 1, "minLength": 1}
    return ValueType(parse, schema, encode)


def parse_each(entries: Iterable[S], parse: Callable[[S], T]) -> list[T]:
    """Return all entries parsed. Raises one InvalidValue with the faults of all of them."""
    results: list[T] = []
    faults: list[tuple[object, str]] = []
    for entry in entries:
        try:
            results.append(parse(entry))
        except InvalidValue as invalid:
            faults += [(entry if part is None else part, expected) for part, expected in invalid.faults]
    refuse(faults)
    return results


def key_values(value: object) -> list[tuple[str, object]]:
    """Return the pairs of a YAML mapping, or of `key=value` text. Raises InvalidValue for a repeated key."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    pairs: list[tuple[str, object]] = []
    for item in parse_each(items(value), parse_text):
        key, equals, content = item.partition("=")
        if not equals:
            raise InvalidValue("expected key=value", item)
        if any(key.strip() == known for known, _ in pairs):
            raise InvalidValue("this key is given twice", key.strip())
        pairs.append((key.strip(), content.strip()))
    return pairs
