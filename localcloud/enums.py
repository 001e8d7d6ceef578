"""Integer enums in requests, as Google's newer clients send them (`$alt=json;enum-encoding=int`), become names.

The numbers are those of the client library's own proto descriptors: lists in discovery documents are not in their order.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from localcloud.errors import invalid, unimplemented

Json = dict[str, Any]


@dataclass(frozen=True)
class _Library:
    """Where an API's messages come from: the distribution, the module that declares them, their proto package."""

    distribution: str
    module: str
    package: str


_LIBRARIES: Mapping[str, _Library] = {
    "artifactregistry.v1": _Library(
        "google-cloud-artifact-registry",
        "google.cloud.artifactregistry_v1",
        "google.devtools.artifactregistry.v1",
    ),
    "cloudbuild.v1": _Library(
        "google-cloud-build", "google.cloud.devtools.cloudbuild_v1", "google.devtools.cloudbuild.v1"
    ),
    "cloudfunctions.v2": _Library(
        "google-cloud-functions", "google.cloud.functions_v2", "google.cloud.functions.v2"
    ),
    "cloudresourcemanager.v3": _Library(
        "google-cloud-resource-manager", "google.cloud.resourcemanager_v3", "google.cloud.resourcemanager.v3"
    ),
    "cloudscheduler.v1": _Library(
        "google-cloud-scheduler", "google.cloud.scheduler_v1", "google.cloud.scheduler.v1"
    ),
    "pubsub.v1": _Library("google-cloud-pubsub", "google.pubsub_v1", "google.pubsub.v1"),
    "run.v2": _Library("google-cloud-run", "google.cloud.run_v2", "google.cloud.run.v2"),
    "secretmanager.v1": _Library(
        "google-cloud-secret-manager", "google.cloud.secretmanager_v1", "google.cloud.secretmanager.v1"
    ),
}
# Requests that several APIs share; their own package comes first.
_SHARED_PACKAGES = ("google.iam.v1", "google.longrunning", "google.api")


def named(api: str, schema: str, body: Json, schemas: Mapping[str, Json]) -> Json:
    """Return a request's body with every integer that stands for an enum replaced by the enum's name.

    `schema` is the body's name in the discovery document of `api`, `schemas` are that document's. The client library is
    imported when an integer stands where an enum is due, not before. A body of another API, or of a message that the
    library does not know, comes back as it is. Raises `ApiError`: 400 for a number that the enum does not have, 501
    when the library is not installed.
    """
    library = _LIBRARIES.get(api)
    if library is None or not _due(schemas, {"$ref": schema}, body):
        return body
    message = _message(library, schema)
    return body if message is None else _named_message(message, body, "request")


def _due(schemas: Mapping[str, Json], schema: Json, value: Any) -> bool:
    """Tell whether an integer stands where the discovery document has an enum."""
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
def _message(library: _Library, schema: str) -> Any:
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
