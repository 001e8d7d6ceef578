"""Converts the executed notebook to its two pages, with code and without, in a process of its own.

A separate process, so that a large notebook costs the runner neither memory nor time. It starts while the notebook
runs, loads its libraries, and waits for a line on its standard input, so that the conversion begins at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from .frames import Injected
from .pages.page import pages

# JSON can contain half of a surrogate pair, which no file and no page can.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read(path: Path) -> dict[str, Any]:
    """Return the notebook's JSON, with text that can be written as UTF-8. Raises OSError and ValueError."""
    text = path.read_text(encoding="utf-8", errors="replace")
    notebook = json.loads(text)
    if _HALF.search(text):
        notebook = json.loads(json.dumps(notebook, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(notebook, dict):
        raise ValueError(f"{path.name} holds no notebook")  # noqa: TRY004 - it is the file that is wrong
    return notebook


def convert(source: Path, name: str, folder: Path, target: Path, injected: Injected) -> None:
    """Write NAME.html and NAME-clean.html, of the notebook at `source` that ran in `folder`, into `target`."""
    with_code, clean = pages(read(source), name, folder, injected)
    (target / f"{name}.html").write_text(with_code, encoding="utf-8")
    (target / f"{name}-clean.html").write_text(clean, encoding="utf-8")


def main(_arguments: list[str]) -> int:
    """Wait for the request, a line of JSON on standard input, and convert.

    The end of input means that there is none.
    """
    own = os.getpriority(os.PRIO_PROCESS, 0)
    os.nice(10)  # the notebook runs meanwhile
    warm_up()
    line = sys.stdin.readline()
    if not line:
        return 0
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, own)
    request = json.loads(line)
    source, folder, target = (Path(request[key]) for key in ("source", "folder", "target"))
    convert(source, request["name"], folder, target, request["injected"])
    os._exit(0)  # an orderly exit takes longer than most conversions


def warm_up() -> None:
    """Load the tables of every library, for which the first formula and the first cell would wait."""
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": "# a $x^2$\n\n| a |\n|---|\n| 1 |\n\n```python\nx\n```",
        },
        {"cell_type": "code", "metadata": {}, "source": "x = 1", "execution_count": 1, "outputs": []},
    ]
    pages({"cells": cells, "metadata": {}}, "warm-up", Path())
