"""Checks a JSON value against a schema of a discovery document, as strictly as Google checks requests. Pure."""

from __future__ import annotations

import base64
import re
import reprlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]
Direction = Literal["request", "response"]

_INTEGER_LIMITS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_TEXT_FORMATS = {
    "google-duration": (re.compile(r"-?\d+(\.\d{1,9})?s"), 'a duration in seconds, such as "600s"'),
    "google-datetime": (_DATE_TIME, "a time"),
    "date-time": (_DATE_TIME, "a time"),
    "date": (re.compile(r"\d{4}-\d\d-\d\d"), "a date"),
}


@dataclass(frozen=True)
class Problem:
    """A fault, and its field ("resource.disks[0].boot")."""

    field: str
    text: str

    def __str__(self) -> str:
        return self.text


def settable(schemas: Mapping[str, Json], schema: Json, value: Any) -> Any:
    """Return a request's value without the fields that only Google sets, at any depth: they are ignored (AIP-203).

    They are those that the document marks `readOnly`. A description that says "[Output Only]" is no such mark: Compute
    Engine has it at the name of a network interface too, which its clients may send.
    """
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if isinstance(value, list):
        return [settable(schemas, schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    return {
        key: settable(schemas, known.get(key, other), item)
        for key, item in value.items()
        if not known.get(key, {}).get("readOnly")
    }


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Compile a document's pattern; None for one in a dialect that Python does not know."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _matches(pattern: str | None, text: str) -> bool:
    """True if the whole text fits: documents leave their patterns unanchored, and mean them anchored."""
    compiled = _compiled(pattern) if pattern is not None else None
    return compiled is None or compiled.fullmatch(text) is not None


@dataclass(frozen=True)
class Checker:
    """Checks values of one method's request or response.

    `name` stands for the whole value in messages; `method` decides which fields are required.
    """

    schemas: Mapping[str, Json]
    direction: Direction
    method: str
    name: str = "resource"

    def problems(self, schema: str, value: Any) -> list[Problem]:
        """Return all faults of a value."""
        return list(self._value({"$ref": schema}, value, self.name))

    def scalar(self, schema: Json, text: str, at: str) -> list[Problem]:
        """Check a query or path parameter, which is always text on the wire."""
        value: Any = text
        if schema["type"] == "boolean":
            value = {"true": True, "false": False}.get(text.lower(), text)
        elif schema["type"] in {"integer", "number"} and re.fullmatch(r"-?\d{1,20}", text):
            value = int(text)
        return list(self._value(schema, value, at))

    def _value(self, schema: Json, value: Any, at: str) -> Iterator[Problem]:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema.get("type", "any")
        if value is None and self.direction == "request":
            return  # null is how JSON spells "not set"
        if kind != "any":
            yield from _KINDS[kind](self, schema, value, at)

    def _object(self, schema: Json, value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield _wrong_unseen(at, "an object")
            return
        known: Json = schema.get("properties", {})
        other = schema.get("additionalProperties", None if "properties" in schema else {})
        for key, item in value.items():
            where = f"{at}.{key}"
            if key in known:
                yield from self._value(known[key], item, where)
            elif other is not None:
                yield from self._value(other, item, where)
            else:
                yield Problem(
                    where,
                    f"Invalid JSON payload received. Unknown name \"{key}\" at '{at}': Cannot find field.",
                )
        if self.direction == "request":
            yield from self._missing(known, value, at)

    def _missing(self, known: Json, value: Json, at: str) -> Iterator[Problem]:
        for key, schema in known.items():
            needed = self.method in schema.get("annotations", {}).get("required", ())
            # Clients leave an empty list out, as gcloud does when it removes a bucket's last binding.
            if needed and value.get(key) is None and schema.get("type") != "array" and at == self.name:
                yield Problem(f"{at}.{key}", f"Required field '{at}.{key}' not specified")

    def _array(self, schema: Json, value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _wrong(at, "a list", value)
            return
        for index, item in enumerate(value):
            where = f"{at}[{index}]"
            if item is None:  # only a field can be "not set"
                yield _wrong_unseen(where, "a value")
            else:
                yield from self._value(schema["items"], item, where)

    def _string(self, schema: Json, value: Any, at: str) -> Iterator[Problem]:
        form = schema.get("format")
        if form in {"int64", "uint64"}:
            yield from self._long(form, value, at)
        elif form == "byte" and not (isinstance(value, str) and self._is_base64(value)):
            yield _wrong_unseen(at, "base64")
        elif not isinstance(value, str):
            yield _wrong(at, "a string", value)
        elif "enum" in schema and value not in schema["enum"]:
            yield Problem(at, f"Invalid value for field '{at}': '{value}'. Must be one of {schema['enum']}.")
        elif form in _TEXT_FORMATS and not _TEXT_FORMATS[form][0].fullmatch(value):
            yield _wrong(at, _TEXT_FORMATS[form][1], value)
        elif not _matches(schema.get("pattern"), value):
            wanted = f"Must be a match of regex '{schema['pattern']}'"
            yield Problem(at, f"Invalid value for field '{at}': '{value}'. {wanted}")

    def _is_base64(self, text: str) -> bool:
        return _is_base64(text, strict=self.direction == "response")

    def _long(self, form: str, value: Any, at: str) -> Iterator[Problem]:
        """Check a 64-bit number: text on the wire, though requests may bring a number."""
        low, high = _INTEGER_LIMITS[form]
        textual = isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value)
        numeric = isinstance(value, int) and not isinstance(value, bool) and self.direction == "request"
        if not (textual or numeric) or not low <= int(value) <= high:
            yield _wrong(at, f"an {form} as text", value)

    def _integer(self, schema: Json, value: Any, at: str) -> Iterator[Problem]:
        low, high = _INTEGER_LIMITS[schema.get("format", "int32")]
        low = max(low, int(schema.get("minimum", low)))
        high = min(high, int(schema.get("maximum", high)))
        if isinstance(value, bool) or not isinstance(value, int):
            yield _wrong(at, "a whole number", value)
        elif not low <= value <= high:
            yield _wrong(at, f"a number from {low} to {high}", value)

    def _number(self, _schema: Json, value: Any, at: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong(at, "a number", value)

    def _boolean(self, _schema: Json, value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, bool):
            yield _wrong(at, "true or false", value)


_KINDS: Mapping[str, Callable[[Checker, Json, Any, str], Iterator[Problem]]] = {
    "object": Checker._object,  # noqa: SLF001  the class's own table
    "array": Checker._array,  # noqa: SLF001
    "string": Checker._string,  # noqa: SLF001
    "integer": Checker._integer,  # noqa: SLF001
    "number": Checker._number,  # noqa: SLF001
    "boolean": Checker._boolean,  # noqa: SLF001
}


def _wrong(at: str, expected: str, value: Any) -> Problem:
    return Problem(at, f"Invalid value for field '{at}': {reprlib.repr(value)}. Must be {expected}.")


def _wrong_unseen(at: str, expected: str) -> Problem:
    """Hide the value: bytes, or text in the place of an object, may be a secret's payload."""
    return Problem(at, f"Invalid value for field '{at}'. Must be {expected}.")


def _is_base64(text: str, *, strict: bool) -> bool:
    """True if text is base64; unless strict, also URL-safe or without its padding."""
    if not strict:
        text = text.replace("-", "+").replace("_", "/").rstrip("=")
        text += "=" * (-len(text) % 4)
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
