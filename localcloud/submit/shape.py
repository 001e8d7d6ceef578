"""Checks a build against Google's own proto of it, every value by itself, so that all faults are found at once.

Beside the faults comes the build as it was meant: near keys spelt right, numbers made text. The rules are asked about
that one, so that one slip of the pen is not told a second time as what follows from it.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.cloudbuild.problem import Json, Path, Problem
from localcloud.discovery import load

_SHOWN = 60


@dataclass
class Shape:
    """What the proto says of a build: `faults`, and the build as it was `meant`; `renamed` leads from there to the file."""

    faults: list[Problem] = field(default_factory=list)
    meant: Json = field(default_factory=dict)
    renamed: dict[Path, str] = field(default_factory=dict)

    def written(self, path: Path) -> Path:
        """Return where in the file a path of `meant` is."""
        result: Path = ()
        for length, key in enumerate(path, start=1):
            result = (*result, self.renamed.get(path[:length], key))
        return result


def check(build: Json) -> Shape:
    """Return what is wrong with the form of the build."""
    from google.cloud.devtools.cloudbuild_v1 import Build

    shape = Shape()
    walk = _Walk(shape)
    shape.meant = walk.message(Build.pb(Build()).DESCRIPTOR, build, (), ())
    return shape


def shown(value: Any) -> str:
    """Return the value as JSON, cut short where it is long."""
    if isinstance(value, dt.date):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return json.dumps(cut, ensure_ascii=False) if isinstance(value, str) else cut


def kind(value: Any) -> str:
    """Return what a value is, in words that follow "is"."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dt.date):
        return "a date"
    kinds: Mapping[type, str] = {
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return kinds[type(value)]


class _Walk:
    """Goes through a build beside the descriptors of its proto; each place has its path as written and as meant."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def message(self, descriptor: Any, value: Any, path: Path, meant: Path) -> Any:
        if not isinstance(value, dict):
            self._fault(
                path, f"{shown(value)} is {kind(value)}; this is a mapping of {_some_names(descriptor)}"
            )
            return value
        fields = {field.json_name: field for field in descriptor.fields}
        result: Json = {}
        for key, item in value.items():
            name = key if key in fields else self._unknown(fields, key, path, descriptor)
            if name is None or (name != key and name in value):
                continue
            if name != key:
                self._shape.renamed[(*meant, name)] = key
            result[name] = self._field(fields[name], item, (*path, key), (*meant, name))
        return result

    def _unknown(self, fields: Mapping[str, Any], key: str, path: Path, descriptor: Any) -> str | None:
        """Tell of a key that is not Google's; return the one that was meant, if that can be seen."""
        near = _near(key, [name for name, known in fields.items() if not _output_only(known)])
        if not path and key in _names(fields["options"].message_type):
            near, advice = None, "it belongs below options"
        elif not path and key in _names(fields["steps"].message_type):
            near, advice = None, "it belongs in a step"
        elif near:
            advice = f"did you mean {near}?"
        else:
            advice = f"known here: {_some_names(descriptor, most=None)}"
        self._fault((*path, key), f"no such key; {advice}")
        return near

    def _field(self, field: Any, value: Any, path: Path, meant: Path) -> Any:
        if _output_only(field):
            self._fault(path, "only Cloud Build itself sets this; leave it out")
            return value
        if value is None:
            self._fault(path, f"is empty; this is {_expected(field)}, or leave the key out")
            return value
        if field.message_type and field.message_type.GetOptions().map_entry:
            return self._map(field, value, path)
        if not field.is_repeated:
            return self._one(field, value, path, meant)
        if not isinstance(value, list):
            example = f", such as [{shown(value)}]" if isinstance(value, str) else ""
            self._fault(path, f"{shown(value)} is {kind(value)}; this is {_expected(field)}{example}")
            return [value] if isinstance(value, str) else value
        return [
            self._one(field, item, (*path, number), (*meant, number), as_item=True)
            for number, item in enumerate(value)
        ]

    def _map(self, field: Any, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            self._fault(path, f"{shown(value)} is {kind(value)}; this is {_expected(field)}")
            return value
        item = field.message_type.fields_by_name["value"]
        return {key: self._one(item, each, (*path, key), (*path, key)) for key, each in value.items()}

    def _one(self, field: Any, value: Any, path: Path, meant: Path, *, as_item: bool = False) -> Any:
        """Check one value, of a field or of a list or map."""
        if value is not None and field.message_type and not _is_leaf(field):
            return self.message(field.message_type, value, path, meant)
        if value is not None and _parses(field, [value] if as_item else value):
            return value
        self._fault(path, _wrong(field, value))
        return str(value) if _is_text(field) and isinstance(value, int | float | dt.date) else value

    def _fault(self, path: Path, text: str) -> None:
        self._shape.faults.append(Problem(path, text))


def _parses(field: Any, value: Any) -> bool:
    """Ask Google's own parser about one value."""
    from google.protobuf import json_format, message_factory

    message = message_factory.GetMessageClass(field.containing_type)()
    try:
        json_format.ParseDict({field.json_name: value}, message)
    except (json_format.ParseError, TypeError, ValueError, AttributeError):
        return False
    return True


def _wrong(field: Any, value: Any) -> str:
    expected = _expected(field, item=True)
    if value is None:
        return f"is empty; this is {expected}"
    if field.enum_type and isinstance(value, str):
        names = [item.name for item in field.enum_type.values]
        near = _near(value, names)
        return f"{shown(value)} is not known; " + (
            f"did you mean {near}?" if near else f"one of {', '.join(names)}"
        )
    if _is_text(field) and not isinstance(value, dict | list):
        return f'{shown(value)} is {kind(value)}, and text is due; put it in quotes: "{_as_text(value)}"'
    if _is_text(field) and isinstance(value, dict):
        return f'{shown(value)} is a mapping; this is text, and a text with ": " in it needs quotes'
    if _is_duration(field) and isinstance(value, str):
        return f'illegal duration format "{value}"; this is {expected}'
    return f"{shown(value)} is {kind(value)}; this is {expected}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str).strip('"')


def _expected(field: Any, *, item: bool = False) -> str:
    """Return what a field takes, in words that follow "this is"; `item`: what one of its items is."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        return "a mapping of keys to text"
    if field.is_repeated and not item:
        of = "mappings" if field.message_type else "whole numbers" if "INT" in _type(field) else "texts"
        return f"a list of {of}"
    if field.message_type:
        if _is_duration(field):
            return 'seconds that end with "s", such as "600s"'
        return f"a mapping of {_some_names(field.message_type)}"
    if field.enum_type:
        return "one of " + ", ".join(value.name for value in field.enum_type.values)
    names = {"STRING": "text", "BOOL": "true or false, without quotes", "BYTES": "text in base64"}
    return names.get(_type(field), "a whole number")


def _type(field: Any) -> str:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    return str(FieldDescriptorProto.Type.Name(field.type)).removeprefix("TYPE_")


def _is_text(field: Any) -> bool:
    return _type(field) == "STRING"


def _is_duration(field: Any) -> bool:
    return bool(field.message_type and field.message_type.full_name == "google.protobuf.Duration")


def _is_leaf(field: Any) -> bool:
    """Say whether the message is one that JSON writes as a single value, such as a duration."""
    return bool(field.message_type.full_name.startswith("google.protobuf."))


def _output_only(field: Any) -> bool:
    """Ask the discovery document: the client's proto says so only in comments."""
    properties = load("cloudbuild.v1").schemas.get(field.containing_type.name, {}).get("properties", {})
    return bool(properties.get(field.json_name, {}).get("readOnly"))


def _names(descriptor: Any) -> list[str]:
    return [field.json_name for field in descriptor.fields if not _output_only(field)]


def _some_names(descriptor: Any, most: int | None = 4) -> str:
    names = _names(descriptor)
    return ", ".join(names[:most]) + (", …" if most and len(names) > most else "")


def _near(word: str, names: list[str]) -> str | None:
    """Return the name that was meant by a word that is not one: other case, snake_case, a slip of the pen."""
    plain = {name.replace("_", "").lower(): name for name in names}
    found = difflib.get_close_matches(word.replace("_", "").replace("-", "").lower(), plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else None
