"""The emulator's answers, reduced to the fields of Google's documents. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.discovery import Method
from localcloud.core.service import Json


def known(method: Method, answer: Json) -> Json:
    """Return the answer without fields that the method's schema lacks, and without nulls, except in rows."""
    if method.response is None:
        return answer
    schemas = method.document.schemas
    return _object(schemas, schemas[method.response], answer)


def _object(schemas: Mapping[str, Json], schema: Json, value: Json) -> Json:
    if "properties" not in schema:  # any JSON, or any keys
        return value
    pairs = ((schema["properties"].get(key), key, item) for key, item in value.items())
    return {
        key: _value(schemas, spec, item)
        for spec, key, item in pairs
        if spec is not None and (item is not None or spec.get("type") == "any")
    }


def _value(schemas: Mapping[str, Json], spec: Json, value: Any) -> Any:
    if isinstance(value, dict):
        return _object(schemas, schemas[spec["$ref"]] if "$ref" in spec else spec, value)
    if isinstance(value, list) and "items" in spec:
        return [_value(schemas, spec["items"], item) for item in value]
    if spec.get("format") in {"int64", "uint64"} and isinstance(value, int):
        return str(value)
    return value
