"""Integer enums in requests, as Google's newer clients send them (`$alt=json;enum-encoding=int`), become names.

The numbers are those of the client library's own proto descriptors: lists in discovery documents are not in their
order.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from localcloud.core.errors import invalid, unimplemented
from localcloud.core.spec import Library

Json = dict[str, Any]


# Requests that several APIs share; their own package comes first.
_SHARED_PACKAGES = ("google.iam.v1", "google.longrunning", "google.api")


def named(library: Library, schema: str, body: Json, schemas: Mapping[str, Json]) -> Json:
    """Return a request's body with every integer that stands for an enum replaced by the enum's name.

    `schema` is the body's name in the API's discovery document, `schemas` are that document's. The client library is
    imported only when an integer stands in the place of an enum. A body of a message that the library does not know
    comes back as it is. Raises `ApiError`: 400 for a number that the enum does not have, 501
    when the library is not installed.
    """
    if not _due(schemas, {"$ref": schema}, body):
        return body
    message = _message(library, schema)
    return body if message is None else _named_message(message, body, "request")


def _due(schemas: Mapping[str, Json], schema: Json, value: Any) -> bool:
    """True if an integer stands where the discovery document has an enum."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if _is_number(value):
        return "enum" in schema
    if isinstance(value, list):
        return any(_due(schemas, schema.get("items", {}), item) for item in value)
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        return any(_due(schemas, known.get(key, other), item) for key, item in value.items())
    return False


@cache
def _message(library: Library, schema: str) -> Any:
    """Return a message's descriptor, None for one that the library does not know; raises `ApiError` 501."""
    from google.protobuf import descriptor_pool

    try:
        importlib.import_module(library.module)
    except ImportError:
        needed = f"localcloud needs the package {library.distribution} to read integer enums in a {schema}."
        raise unimplemented(needed) from None
    for package in (library.package, *_SHARED_PACKAGES):
        name = schema.removeprefix(_prefix(package))
        try:
            return descriptor_pool.Default().FindMessageTypeByName(f"{package}.{name}")
        except KeyError:
            continue
    return None


def _prefix(package: str) -> str:
    """Return what some documents put before a message's name: GoogleCloudRunV2 for google.cloud.run.v2."""
    return "".join(part.capitalize() for part in package.split("."))


def _named_message(message: Any, value: Any, at: str) -> Any:
    if not isinstance(value, dict) or message.full_name.startswith("google.protobuf."):
        return value
    fields = {field.json_name: field for field in message.fields}
    return {
        key: _named_field(fields[key], item, f"{at}.{key}") if key in fields else item
        for key, item in value.items()
    }


def _named_field(field: Any, value: Any, at: str) -> Any:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        if not isinstance(value, dict):
            return value
        held = message.fields_by_name["value"]
        return {key: _named_one(held, item, f"{at}[{key}]") for key, item in value.items()}
    if isinstance(value, list):
        return [_named_one(field, item, f"{at}[{index}]") for index, item in enumerate(value)]
    return _named_one(field, value, at)


def _named_one(field: Any, value: Any, at: str) -> Any:
    if field.message_type is not None:
        return _named_message(field.message_type, value, at)
    if field.enum_type is None or not _is_number(value):
        return value
    known = field.enum_type.values_by_number.get(value)
    if known is None:
        kind = f"type.googleapis.com/{field.enum_type.full_name}"
        raise invalid(f"Invalid value at '{at}' ({kind}), {value}")
    return known.name


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
