"""Computes the form in which a notebook is staged: without outputs, counts, and times of an earlier execution. Pure.

A run throws these away. Without them, a notebook that was only executed again stays the same input. See
docs/decisions/0034-notebooks-are-staged-without-outputs.md.
"""

from __future__ import annotations

import json
from typing import Any

SUFFIX = ".ipynb"
# Times of an earlier execution: JupyterLab's, papermill's (which resets them in every cell), and nbextensions'.
_TIMES = ("execution", "papermill", "ExecuteTime")


def staged_form(content: bytes) -> bytes:
    """Return the notebook in these bytes as it is staged. Bytes that are no notebook of format 4 stay unchanged.

    The result of a staged notebook is the same notebook, so a deployed archive packs as the tested files did.
    """
    try:
        data = json.loads(content.decode())
        if not _strip(data):
            return content
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True)
        return f"{text}\n".encode()
    except (ValueError, RecursionError):
        return content


def _strip(data: Any) -> bool:
    """Remove in place what a run throws away. Returns False for something other than a notebook of format 4."""
    cells = data.get("cells") if isinstance(data, dict) and data.get("nbformat") == 4 else None  # noqa: PLR2004
    if not isinstance(cells, list):
        return False
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        if cell.get("cell_type") == "code":
            cell.update(outputs=[], execution_count=None)
        metadata = cell.get("metadata")
        if isinstance(metadata, dict):
            for name in _TIMES:
                metadata.pop(name, None)
    return True
