"""Update masks: the fields of a resource that an update changes. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.core.discovery import load
from localcloud.core.errors import ApiError

Json = dict[str, Any]


@dataclass(frozen=True)
class UpdateMask:
    """The updates of one kind of resource: `schema` is its name in the discovery document `api`.

    `changeable` are the top-level fields that an update may change; `refuse` makes the error for any other path.
    """

    api: str
    schema: str
    changeable: Collection[str]
    refuse: Callable[[str], ApiError]

    def changed(self, current: Json, body: Json, mask: str) -> Json:
        """Return `current` with the fields that the mask names taken from the body; raises `ApiError`.

        A named field that the body lacks is unset, and a named message is replaced whole. An empty mask names every
        changeable field.
        """
        result: Json = copy.deepcopy(current)
        for given in paths(mask) or sorted(self.changeable):
            path = self._fields(given)
            value: Any = body
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            _set(result, path, value)
        return result

    def _fields(self, given: str) -> list[str]:
        """Return a path's fields by their JSON names, whether it is in snake case or in camel case."""
        schemas = load(self.api).schemas
        schema = schemas[self.schema]
        found: list[str] = []
        for part in given.split("."):
            properties = schema.get("properties")
            name = part if properties is None else re.sub(r"_(\w)", lambda match: match[1].upper(), part)
            field = schema.get("additionalProperties") if properties is None else properties.get(name)
            if field is None or field.get("readOnly"):
                raise self.refuse(given)
            schema = schemas[field["$ref"]] if "$ref" in field else field
            found.append(name)
        if found[0] not in self.changeable:
            raise self.refuse(given)
        return found


def paths(mask: str) -> list[str]:
    """Return the paths of a mask in the form of a query parameter, separated by commas."""
    return [path.strip() for path in mask.split(",") if path.strip()]


def _set(target: Json, path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        target = target.setdefault(part, {})
    if value is None:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value
