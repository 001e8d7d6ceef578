"""The shapes of the documents that parts of the product exchange, compared with the ones on record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("wire_formats.json")

# What differs between two runs, and between machines that have other kits, in the name of an object or a field.
_VARYING = (
    (re.compile(r"attempt-(\d+)-[0-9a-f]{32}"), r"attempt-\1-RANDOM"),
    (re.compile(r"[0-9a-f]{64}"), "SHA256"),
    (re.compile(r"\bcp3\d+\b"), "CPYTHON"),
    (re.compile(r"run-[0-9a-f]{8}"), "RUN"),
    (re.compile(r"nb-[a-z0-9-]+\.json"), "VM.json"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
)


def shape(value: Any, path: str = "") -> Iterator[str]:
    """The path and the JSON type of everything in a document; the items of a list share one path."""
    if isinstance(value, dict):
        yield f"{path}: object"
        for name in sorted(value):
            yield from shape(value[name], f"{path}.{name}")
    elif isinstance(value, list):
        yield f"{path}: array"
        for item in value:
            yield from shape(item, f"{path}[]")
    else:
        yield f"{path}: {type(value).__name__}"


def shapes(documents: dict[str, Any]) -> dict[str, list[str]]:
    """The shapes of all documents of a name, by that name, without what varies between runs."""
    found: dict[str, set[str]] = {}
    for name, content in documents.items():
        found.setdefault(_plain(name), set()).update(map(_plain, shape(content)))
    return {name: sorted(paths) for name, paths in sorted(found.items())}


def stored(location: Path) -> dict[str, Any]:
    """Every JSON document below a location of a bucket, by its object's name; an event's lock has no suffix."""
    files = [*location.rglob("*.json"), *(location / "locks").glob("*")]
    return {
        str(path.relative_to(location)): json.loads(path.read_bytes()) for path in files if path.is_file()
    }


def _plain(name: str) -> str:
    for pattern, replacement in _VARYING:
        name = pattern.sub(replacement, name)
    return name
