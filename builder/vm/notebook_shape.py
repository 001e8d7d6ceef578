"""Normalizes the parts of a notebook that a run neither needs nor keeps, so that mistakes in them do no harm. Pure.

Tools write notebooks that break the notebook format in such places, and Jupyter runs them. Builder and VM both call
`normalize`: the one to check the notebook, the other to run it. Standard library only: the kit carries this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MINOR = 5
_FIRST_MINOR_WITH_IDS = 5
_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_TOP = {"cells", "metadata", "nbformat", "nbformat_minor"}
_KEYS = {"cell_type", "id", "metadata", "source"}
_MORE_KEYS = {"code": {"outputs", "execution_count"}, "markdown": {"attachments"}, "raw": {"attachments"}}
# Metadata that the format describes and nothing here reads, with the form that it must have.
_CELL_METADATA: dict[str, Callable[[Any], bool]] = {
    "collapsed": lambda value: isinstance(value, bool),
    "scrolled": lambda value: value == "auto" or isinstance(value, bool),
    "name": lambda value: isinstance(value, str) and bool(value),
    "format": lambda value: isinstance(value, str),
    "jupyter": lambda value: isinstance(value, dict) and all(isinstance(one, bool) for one in value.values()),
    "execution": lambda value: isinstance(value, dict),
}
_METADATA: dict[str, Callable[[Any], bool]] = {
    "language_info": lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
    "orig_nbformat": lambda value: type(value) is int and value > 0,
    "title": lambda value: isinstance(value, str),
    "authors": lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value),
    "kernelspec": lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
}


def normalize(notebook: dict[str, Any]) -> tuple[str, ...]:
    """Change the notebook in place; return what was assumed, for a warning.

    Outputs, counts, unknown fields, and metadata that nothing reads go. What has another form than expected stays for
    the check that follows.
    """
    for name in [name for name in notebook if name not in _TOP]:
        del notebook[name]
    assumed = [*_normalize_version(notebook), *_normalize_metadata(notebook)]
    cells = notebook.get("cells")
    found = [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    for cell in found:
        _normalize_cell(cell)
    return (*assumed, *_normalize_ids(notebook, found))


def _normalize_version(notebook: dict[str, Any]) -> list[str]:
    if "nbformat_minor" in notebook or notebook.get("nbformat") != 4:  # noqa: PLR2004 - the format that is read
        return []
    notebook["nbformat_minor"] = MINOR
    return [f"it has no nbformat_minor, and is read as {MINOR}"]


def _normalize_metadata(notebook: dict[str, Any]) -> list[str]:
    metadata = notebook.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return []
    for name, fits in _METADATA.items():
        if name in metadata and not fits(metadata[name]):
            del metadata[name]
    if "kernelspec" in metadata:
        metadata["kernelspec"].setdefault("display_name", metadata["kernelspec"]["name"])
        return []
    language = metadata.get("language_info", {}).get("name", "")
    if not language.lower().startswith(("python", "ipython")):
        return []
    metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return ["it names no kernel, and its language is Python: it counts as one for python3"]


def _normalize_cell(cell: dict[str, Any]) -> None:
    kind = cell.get("cell_type")
    if not isinstance(kind, str) or kind not in _MORE_KEYS:
        return
    for name in [name for name in cell if name not in _KEYS | _MORE_KEYS[kind]]:
        del cell[name]
    metadata = cell.setdefault("metadata", {})
    if isinstance(metadata, dict):
        for name, fits in _CELL_METADATA.items():
            if name in metadata and not fits(metadata[name]):
                del metadata[name]
        if metadata.get("tags", ()) is None:
            del metadata["tags"]
    if kind == "code":
        cell.update(outputs=[], execution_count=None)


def _normalize_ids(notebook: dict[str, Any], cells: list[dict[str, Any]]) -> list[str]:
    """Remove ids where the format has none; give a new one where an id is missing, not allowed, or not unique."""
    minor = notebook.get("nbformat_minor")
    if type(minor) is int and minor < _FIRST_MINOR_WITH_IDS:
        for cell in cells:
            cell.pop("id", None)
        return []
    allowed = [cell.get("id") for cell in cells]
    seen: set[Any] = set()
    renewed = 0
    for number, cell in enumerate(cells):
        own = cell.get("id")
        if isinstance(own, str) and _ID.fullmatch(own) and own not in seen:
            seen.add(own)
            continue
        renewed += "id" in cell
        fresh = (f"cell-{number}{end}" for end in ("", *(f"-{more}" for more in range(len(cells)))))
        cell["id"] = next(name for name in fresh if name not in seen and name not in allowed)
        seen.add(cell["id"])
    return [f"the ids of {renewed} cells are replaced: they are not unique or not allowed"] if renewed else []
