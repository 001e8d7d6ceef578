"""Turns frozen dataclasses into JSON and back.

A field's annotation is its format, so both directions read the same line.

Decoding is strict, since a VM can write anything: a field that is missing, of another type, or of another form is a
`ProtocolError`. Fields without an annotation are ignored. Standard library only: this module travels in the kit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin, get_type_hints

_MAX_SHOWN = 80
_FOREVER = 10**12  # seconds; larger numbers could overflow a float
_ABSENT = object()
_OPTIONAL = (Union, UnionType)  # the only use of a union here is X | None


class ProtocolError(ValueError):
    """A document does not have the agreed form. The text names the document, the field, and what was expected."""


@dataclass(frozen=True)
class Form:
    """The form of one JSON value: its description for errors, a test, and the conversion in both directions."""

    expected: str
    fits: Callable[[Any], bool]
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


def text_form(expected: str, fits: Callable[[str], object]) -> Form:
    """Return the form of a text that `fits` accepts."""
    return Form(expected, lambda value: type(value) is str and bool(fits(value)))


def digits_form(expected: str, most: int) -> Form:
    """Return the form of a whole number that is a text of up to `most` digits in JSON, as in Google's APIs."""

    def fits(value: object) -> bool:
        return type(value) is str and value.isascii() and value.isdecimal() and len(value) <= most

    return Form(expected, fits, read=int, write=str)


SIGNED = Form("a whole number", lambda value: type(value) is int)
_PLAIN = {
    str: Form("text", lambda value: type(value) is str),
    bool: Form("true or false", lambda value: type(value) is bool),
    int: Form("a whole number that is not negative", lambda value: type(value) is int and value >= 0),
    float: Form("seconds", lambda value: type(value) in {int, float} and 0 <= value < _FOREVER, read=float),
}


def decode(kind: Any, value: object, place: str) -> Any:
    """Return the JSON `value` as a value of type `kind`; `place` is its address for the error.

    Raises `ProtocolError`.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in _OPTIONAL:
        return None if value is None else decode(arguments[0], value, place)
    if origin is tuple:
        items = _checked(value, list, "a list", place)
        return tuple(decode(arguments[0], item, f"{place}[{number}]") for number, item in enumerate(items))
    if origin is Mapping:
        entries = _checked(value, dict, "an object", place)
        return {
            name: decode(arguments[1], item, f"{place}[{_shown(name)}]") for name, item in entries.items()
        }
    if hasattr(kind, "__dataclass_fields__"):
        return _decode_fields(kind, _checked(value, dict, "an object", place), place)
    form = _form(kind)
    if value is _ABSENT or not form.fits(value):
        _fail(place, form.expected, value)
    return form.read(value)


def encode(kind: Any, value: Any) -> Any:
    """Return a value of type `kind` as what `json.dumps` takes."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in _OPTIONAL:
        return None if value is None else encode(arguments[0], value)
    if origin is tuple:
        return [encode(arguments[0], item) for item in value]
    if origin is Mapping:
        return {name: encode(arguments[1], item) for name, item in value.items()}
    if hasattr(kind, "__dataclass_fields__"):
        return {name: encode(hint, getattr(value, name)) for name, hint in _hints(kind).items()}
    return _form(kind).write(value)


def _decode_fields(kind: Any, value: dict[str, Any], place: str) -> Any:
    hints = _hints(kind)
    found = {
        field.name: value.get(field.name, _ABSENT)
        for field in fields(kind)
        if field.name in value or (field.default is MISSING and field.default_factory is MISSING)
    }
    start = place if place.endswith(": ") else f"{place}."
    return kind(**{name: decode(hints[name], item, start + name) for name, item in found.items()})


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """Return the annotations of a dataclass's fields, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _form(kind: Any) -> Form:
    if get_origin(kind) is Annotated:
        form: Form = kind.__metadata__[0]
        return form
    return _PLAIN[kind]


def _checked(value: Any, kind: type, expected: str, place: str) -> Any:
    return value if type(value) is kind else _fail(place, expected, value)


def _fail(place: str, expected: str, value: object) -> NoReturn:
    got = "nothing" if value is _ABSENT else _shown(value)
    raise ProtocolError(f"{place}: expected {expected}, got {got}")


def _shown(value: object) -> str:
    """Return a value as it can stand in an error: printable, in ASCII, and short."""
    return ascii(value)[:_MAX_SHOWN]
