"""Checks a build against the schema of cloudbuild.yaml that check-jsonschema brings along.

The schema is older than the API in places: keys and enum values that it does not know are left to the proto, which does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from localcloud.cloudbuild.problem import Json, Problem
from localcloud.submit.shape import kind, shown

_TYPES = {
    "array": "a list",
    "boolean": "true or false, without quotes",
    "integer": "a whole number",
    "object": "a mapping",
    "string": "text",
}
# The proto knows all keys and values; how big a disk may be, Google has changed since, and the rules know.
_LEFT_TO_OTHERS = frozenset({"additionalProperties", "enum", "oneOf"})
# A slip of the schema's author: no such key exists.
_NOT_GOOGLES = "repositoryProject_id"


def check(build: Json) -> Iterator[Problem]:
    """Yield what is wrong by the schema."""
    for error in _validator().iter_errors(build):
        path = tuple(error.absolute_path)
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            yield from (Problem((*path, name), "is missing") for name in missing if name != _NOT_GOOGLES)
        elif error.validator == "type":
            expected = _TYPES[error.validator_value]
            yield Problem(path, f"{shown(error.instance)} is {kind(error.instance)}; this is {expected}")
        elif error.validator not in _LEFT_TO_OTHERS:
            yield Problem(path, f"{error.message}; {error.schema.get('description', '')}".rstrip("; "))


@cache
def _validator() -> Any:
    from check_jsonschema.builtin_schemas import get_builtin_schema
    from jsonschema import Draft7Validator

    return Draft7Validator(get_builtin_schema("vendor.cloudbuild"))
