"""A fault of a build, and functions that read parts of a build. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One fault: `path` is its place in the build, () for the whole; `text` is one sentence."""

    path: Path
    text: str


def step_name(index: int, step: Json, mark: str = "#") -> str:
    """Return a step's name in Google's messages: `build step #0 - "id"`, or without the id."""
    id_ = step.get("id")
    return f"build step {mark}{index}" + (f' - "{id_}"' if isinstance(id_, str) and id_ else "")


def part(value: Json, key: str) -> Json:
    """Return the object at `key`, or an empty one: the schema checks types."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def text(value: Json, key: str) -> str:
    """Return the text at `key`, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def texts(value: Json, key: str) -> list[tuple[int, str]]:
    """Return the texts of the list at `key`, each with its index."""
    return [(number, item) for number, item in _items(value, key) if isinstance(item, str)]


def objects(value: Json, key: str) -> list[tuple[int, Json]]:
    """Return the objects of the list at `key`, each with its index."""
    return [(number, item) for number, item in _items(value, key) if isinstance(item, dict)]


def _items(value: Json, key: str) -> Iterator[tuple[int, Any]]:
    found = value.get(key)
    return enumerate(found) if isinstance(found, list) else enumerate(())
