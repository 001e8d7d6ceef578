"""What an update changes: the fields that its mask names, or all of them. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from localcloud.discovery import load
from localcloud.functions.refusals import bad_mask

Json = dict[str, Any]

_CHANGEABLE = ("buildConfig", "description", "eventTrigger", "labels", "serviceConfig")


def changed(current: Json, body: Json, mask: str) -> Json:
    """Return a function with the fields that the mask names taken from the body; raises `ApiError` 400.

    A named field that the body lacks is unset, and a named message is replaced whole. No mask names every field.
    """
    paths = [path.strip() for path in mask.split(",") if path.strip()] or list(_CHANGEABLE)
    result: Json = copy.deepcopy(current)
    for given in paths:
        path = _checked(given)
        value: Any = body
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        _set(result, path, value)
    return result


def _checked(given: str) -> list[str]:
    """Return the fields of a path, as JSON names them; raises `ApiError` 400 for one that cannot be updated."""
    schemas: Mapping[str, Json] = load("cloudfunctions.v2").schemas
    found: list[str] = []
    schema: Json = schemas["Function"]
    for part in given.split("."):
        properties = schema.get("properties")
        if properties is None and "additionalProperties" not in schema:
            raise bad_mask(given)
        name = part if properties is None else re.sub(r"_(\w)", lambda match: match[1].upper(), part)
        field = schema["additionalProperties"] if properties is None else properties.get(name)
        if field is None or field.get("readOnly"):
            raise bad_mask(given)
        schema = schemas[field["$ref"]] if "$ref" in field else field
        found.append(name)
    if found[0] not in _CHANGEABLE:
        raise bad_mask(given)
    return found


def _set(target: Json, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        target = target.setdefault(part, {})
    if value is None:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value
