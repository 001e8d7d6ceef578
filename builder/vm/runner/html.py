"""The process that turns the executed notebook into its two pages, with code and without.

Apart from the runner, so that a notebook of any size costs it neither memory nor time. Started while the notebook runs, it
loads what it needs and waits for a line on its standard input: the conversion then begins at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from .pages.page import pages

# JSON can spell half of a surrogate pair, which no file and no page can hold.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read(path: Path) -> dict[str, Any]:
    """Return the notebook's JSON, its text such that it can be written. Raises OSError and ValueError."""
    text = path.read_text(encoding="utf-8", errors="replace")
    notebook = json.loads(text)
    if _HALF.search(text):
        notebook = json.loads(json.dumps(notebook, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(notebook, dict):
        raise ValueError(f"{path.name} holds no notebook")  # noqa: TRY004 - it is the file that is wrong
    return notebook


def convert(source: Path, name: str, folder: Path, target: Path) -> None:
    """Write NAME.html and NAME-clean.html, of the notebook at `source` that ran in `folder`, into `target`."""
    with_code, clean = pages(read(source), name, folder)
    (target / f"{name}.html").write_text(with_code, encoding="utf-8")
    (target / f"{name}-clean.html").write_text(clean, encoding="utf-8")


def main(_arguments: list[str]) -> int:
    """Wait for the order, a line of JSON on standard input, and carry it out; the end of input means that none comes."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    os.nice(10)  # while it loads, the notebook is at work
    warm_up()
    line = sys.stdin.readline()
    if not line:
        return 0
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, own)
    order = json.loads(line)
    convert(Path(order["source"]), order["name"], Path(order["folder"]), Path(order["target"]))
    os._exit(0)  # to take all that was loaded down in good order would cost more than most conversions


def warm_up() -> None:
    """Have every part load its tables: the first formula and the first highlighted cell take longer than all others."""
    cells = [
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": "# a $x^2$\n\n| a |\n|---|\n| 1 |\n\n```python\nx\n```",
        },
        {"cell_type": "code", "metadata": {}, "source": "x = 1", "execution_count": 1, "outputs": []},
    ]
    pages({"cells": cells, "metadata": {}}, "warm-up", Path())
