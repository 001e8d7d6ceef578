"""Checks that JSON is a notebook of format 4, by nbformat's rules.

nbformat takes 0.2 s to import, most of it for its description of errors. A valid notebook needs none of that: this
module compiles nbformat's schema files with the validator that nbformat uses (50 to 80 ms). It imports nbformat only
to describe an error, or for a minor version newer than the schemas.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from builder.model import JsonObject

_NEWEST_MINOR = 5
_FIRST_MINOR_WITH_IDS = 5
_MAX_FAULT = 300


def schema_fault(notebook: JsonObject) -> str | None:
    """Return the fault of the first field that breaks the notebook format, or None for a valid notebook.

    `nbformat` must be 4. Cells without an id count as valid, since every Jupyter tool adds one.
    """
    shape = _shape_fault(notebook)
    if shape is not None:
        return shape
    minor = notebook["nbformat_minor"]
    complete = _with_ids(notebook) if minor >= _FIRST_MINOR_WITH_IDS else notebook
    if minor > _NEWEST_MINOR:
        return _fault_told_by_nbformat(complete)
    import fastjsonschema

    try:
        _validator(minor)(complete)
    except fastjsonschema.JsonSchemaException as error:
        return _fault_told_by_nbformat(complete) or _short(str(error))
    return None


def _shape_fault(notebook: JsonObject) -> str | None:
    """Return the first fault in what the validators take for granted, or None."""
    minor = notebook.get("nbformat_minor")
    if type(minor) is not int or minor < 0:
        return f"nbformat_minor: expected a whole number, got {minor!r}"
    if not isinstance(notebook.get("metadata"), dict):
        return "metadata: expected an object"
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        return "cells: expected a list"
    for position, cell in enumerate(cells):
        if not isinstance(cell, dict):
            return f"cells[{position}]: expected an object"
        if not isinstance(cell.get("cell_type"), str):
            return f"cells[{position}].cell_type: expected a text"
    return None


def _with_ids(notebook: JsonObject) -> JsonObject:
    cells = [
        cell if "id" in cell else {"id": f"cell-{number}", **cell}
        for number, cell in enumerate(notebook["cells"])
    ]
    return {**notebook, "cells": cells}


@functools.cache
def _validator(minor: int) -> Callable[[Any], Any]:
    import fastjsonschema

    package = importlib.util.find_spec("nbformat")
    if package is None or package.submodule_search_locations is None:
        message = "nbformat is not installed"
        raise ModuleNotFoundError(message)
    folder = Path(package.submodule_search_locations[0], "v4")
    schema = json.loads((folder / f"nbformat.v4.{minor}.schema.json").read_text("utf-8"))
    compiled: Callable[[Any], Any] = fastjsonschema.compile(schema)
    return compiled


def _fault_told_by_nbformat(notebook: JsonObject) -> str | None:
    import nbformat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat warns of what it repairs
            nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return _short(f"{_field(error.relative_path)}: {error.message}")
    except (
        TypeError,
        KeyError,
        AttributeError,
    ) as error:  # nbformat's description fails for a type that is no text
        return _short(f"nbformat cannot make sense of it ({error})")
    return None


def _field(path: Iterable[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "notebook"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_FAULT else line[:_MAX_FAULT] + "…"
