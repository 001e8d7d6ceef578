"""Google's discovery documents: the method of a request, and the check of its parameters, body and answer.

The documents are those that google-api-python-client ships as package data; they are read when first needed.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from localcloud.core.enums import named
from localcloud.core.errors import ApiError, invalid
from localcloud.core.schema import Checker, Problem, settable
from localcloud.core.spec import Library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]

# The place of a parameter in a path.
_PLACE = re.compile(r"\{[^}]+\}")
# Levels of lists and objects in a request's body: protobuf's limit, which Google's servers have too.
_MAX_LEVELS = 100
# The key of methods whose paths may have any number of segments.
_ANY_LENGTH = -1

# Sent by Google's clients with every call to the newer APIs; not in the documents.
_SYSTEM_PARAMETERS = frozenset({"$alt", "alt", "key", "prettyPrint", "quotaUser", "$prettyPrint", "$.xgafv"})
# Sent by current clients of Google's to methods whose documents, which are older, do not have them.
_NEWER_PARAMETERS = frozenset({"returnPartialSuccess", "userProject"})


@dataclass(frozen=True)
class Method:
    """One API method: its path, parameters, body and answer."""

    id: str
    verb: str
    path: str
    parameters: Mapping[str, Json]
    request: str | None
    response: str | None
    document: Document

    def values(self, path: str) -> dict[str, str] | None:
        """Return the parameters in a path, still quoted; None for the path of another method."""
        fits = all(literal in path for literal in self._literals)
        found = self._pattern.fullmatch(path) if fits else None
        if found is None:
            return None
        return {name.replace("__", "."): value for name, value in found.groupdict().items()}

    @cached_property
    def _literals(self) -> list[str]:
        return _PLACE.split(self.path)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """The path as a pattern. Only a few methods of an API are called, and to compile all takes long."""
        return _path_pattern(self.path, self.parameters)

    @property
    def resource_name(self) -> str:
        """The body's name in messages: Compute Engine's form, or the schema's name."""
        return "resource" if self.document.name.startswith("compute.") else "request"

    def check_params(self, path: Mapping[str, str], query: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return path and query parameters, the repeated ones joined by commas; raises `ApiError` 400."""
        params = dict(path)
        for name, values in query.items():
            spec = self.parameters.get(name)
            if name in _SYSTEM_PARAMETERS or (spec is None and name in _NEWER_PARAMETERS):
                continue
            if spec is None or spec["location"] != "query":
                raise invalid(_unknown_parameter(name), reason="badRequest")
            if len(values) > 1 and not spec.get("repeated"):
                raise invalid(f"Invalid value for '{name}': given {len(values)} times.")
            params[name] = ",".join(values)
        for name, spec in self.parameters.items():
            if spec.get("required") and name not in params:
                raise ApiError(400, "required", f"Required parameter: {name}")
            if name in params:
                _refuse(self._checker("request").scalar(spec, params[name], name))
        return params

    def check_request(self, body: bytes, library: Library | None = None) -> Json:
        """Return the body as JSON, {} for none; raises `ApiError` 400 with all faults.

        Enums are given by name, by means of the API's client library, and fields that only Google sets are left out.
        """
        try:
            value = json.loads(body) if body.strip() else {}
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair has no bytes
        except (ValueError, RecursionError):
            raise invalid("Parse Error", reason="parseError") from None
        if _is_deep(value):
            raise invalid("Invalid JSON payload received. Message too deep.", reason="parseError")
        if not isinstance(value, dict):
            raise invalid(
                "Invalid JSON payload received. Root element must be a message.", reason="badRequest"
            )
        if self.request is not None:
            schemas = self.document.schemas
            value = settable(schemas, {"$ref": self.request}, value)
            if library is not None:
                value = named(library, self.request, value, schemas)
            _refuse(self._checker("request").problems(self.request, value))
        elif value:
            raise invalid(f"{self.id} takes no body.", reason="badRequest")
        return value

    def response_problems(self, body: Json) -> list[Problem]:
        """Return the faults of an answer of localcloud's."""
        if self.response is None:
            return [Problem("response", f"{self.id} answers nothing")] if body else []
        return self._checker("response").problems(self.response, body)

    def _checker(self, direction: Any) -> Checker:
        return Checker(self.document.schemas, direction, self.id, self.resource_name)


@dataclass(frozen=True)
class Match:
    """The method of a request, and the parameters in its path."""

    method: Method
    params: Mapping[str, str]


class Document:
    """One API, as Google describes it."""

    def __init__(self, name: str) -> None:
        """Read a document by name ("compute.v1"); raises FileNotFoundError when Google ships none of that name."""
        self.name = name
        content: Json = json.loads((_documents() / f"{name}.json").read_bytes())
        self.schemas: Mapping[str, Json] = content["schemas"]
        self.base_path = "/" + content["servicePath"]
        self._content = content
        self._sorted: dict[tuple[str, int], list[Method]] = {}

    @cached_property
    def methods(self) -> Mapping[str, Json]:
        """Every method by id, as the document has it."""
        return {method["id"]: method for method in _walk(self._content)}

    def match(self, verb: str, path: str) -> Match | None:
        """Return the method of a request line; `path` is still quoted."""
        if not path.startswith(self.base_path):
            return None
        path = path.removeprefix(self.base_path)
        for method in self._candidates(verb, path.count("/")):
            values = method.values(path)
            if values is not None:
                params = {name: _plain(value, method.parameters[name]) for name, value in values.items()}
                return Match(method, params)
        return None

    def _candidates(self, verb: str, slashes: int) -> list[Method]:
        """Return the methods with that verb and path length, the most specific first."""
        key = (verb, slashes)
        if key not in self._sorted:
            found = [*self._by_shape.get(key, []), *self._by_shape.get((verb, _ANY_LENGTH), [])]
            shaped = sorted(found, key=_literal_length, reverse=True)
            self._sorted[key] = [self._method(raw) for raw in shaped]
        return self._sorted[key]

    @cached_property
    def _by_shape(self) -> Mapping[tuple[str, int], list[Json]]:
        shapes: dict[tuple[str, int], list[Json]] = defaultdict(list)
        for method in self.methods.values():
            flat: str = method.get("flatPath") or method["path"]
            length = _ANY_LENGTH if _is_open_ended(method) else flat.count("/")
            shapes[method["httpMethod"], length].append(method)
        return shapes

    def _method(self, raw: Json) -> Method:
        own = raw.get("parameters", {})
        return Method(
            id=raw["id"],
            verb=raw["httpMethod"],
            path=raw["path"],
            parameters=own,
            request=raw.get("request", {}).get("$ref"),
            response=raw.get("response", {}).get("$ref"),
            document=self,
        )


@cache
def load(name: str) -> Document:
    """Return a document, read once per process."""
    return Document(name)


@cache
def services() -> Mapping[str, str]:
    """Return the name of every service that Google describes ("pubsub.googleapis.com"), with a document's name."""
    files = sorted(_documents().glob("*.v*.json"))
    return {f"{file.name.partition('.')[0]}.googleapis.com": file.stem for file in files}


@cache
def title(service: str) -> str:
    """Return the title of a service ("Cloud Pub/Sub API"); its name if Google describes none."""
    if service not in services():
        return service
    content: Json = json.loads((_documents() / f"{services()[service]}.json").read_bytes())
    return str(content["title"])


def _documents() -> Path:
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        message = (
            "localcloud needs google-api-python-client, whose discovery documents it checks calls against"
        )
        raise FileNotFoundError(message)
    return Path(spec.submodule_search_locations[0], "discovery_cache", "documents")


def _walk(resource: Json) -> Iterator[Json]:
    yield from resource.get("methods", {}).values()
    for child in resource.get("resources", {}).values():
        yield from _walk(child)


def _is_open_ended(raw: Json) -> bool:
    """True if a path parameter may span any number of segments, as in "v1/operations/build/P/ID"."""
    found: Mapping[str, Json] = raw.get("parameters", {})
    return any(spec["location"] == "path" and ".*" in spec.get("pattern", "") for spec in found.values())


def _literal_length(raw: Json) -> int:
    return len(_PLACE.sub("", raw["path"]))


def _path_pattern(template: str, parameters: Mapping[str, Json]) -> re.Pattern[str]:
    """Turn "projects/{project}/zones" or "v2/{+name}:cancel" into a pattern with the parameters as groups.

    A parameter of the second form spans several segments, and only its own pattern says which.
    """

    def part(piece: str) -> str:
        if not piece.startswith("{"):
            return re.escape(piece)
        name = piece.strip("{+}")
        spans = parameters[name].get("pattern", "^.+$") if piece.startswith("{+") else "[^/]+"
        return f"(?P<{name.replace('.', '__')}>{spans.removeprefix('^').removesuffix('$')})"

    return re.compile("".join(part(piece) for piece in re.split(f"({_PLACE.pattern})", template)))


def _plain(value: str, spec: Json) -> str:
    """Undo the quoting of a path parameter; in one that spans segments, an escaped slash stays one, as on Google."""
    if "/" not in spec.get("pattern", ""):
        return unquote(value)
    return "%2F".join(unquote(piece) for piece in re.split("%2F", value, flags=re.IGNORECASE))


def _is_deep(value: Any) -> bool:
    """True if lists and objects are nested in more levels than a body may have."""
    level = [value]
    for _ in range(_MAX_LEVELS):
        held = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = [item for items in held for item in items]
        if not level:
            return False
    return True


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise invalid("; ".join(str(problem) for problem in problems))


def _unknown_parameter(name: str) -> str:
    return f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. Field is not known.'
