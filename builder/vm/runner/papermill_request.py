"""The work for papermill's process, and how it reads it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .frames import INJECTED, Injected

# A kernel's first start on a fresh disk is slow.
KERNEL_SECONDS = 180


@dataclass(frozen=True)
class PapermillRequest:
    """The work for papermill's process. `folder` has input.ipynb and gets output.ipynb; `cwd` is the notebook's folder.

    `secrets` has variables for the kernel only.
    """

    folder: Path
    cwd: Path
    notebook: str
    name: str
    kernel: str
    language: str
    parameters: dict[str, Any]
    injected: Injected
    environment: dict[str, str]
    timeout: float
    cell_timeout: float | None
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def message(self) -> bytes:
        """Return the request as papermill's process reads it."""
        arguments = ["-k", self.kernel, "-l", self.language, "--cwd", str(self.cwd)]
        arguments += ["--start-timeout", str(KERNEL_SECONDS)]
        if self.cell_timeout is not None:
            arguments += ["--execution-timeout", str(math.ceil(self.cell_timeout))]
        paths = {"folder": str(self.folder), "cwd": str(self.cwd)}
        return json.dumps({**asdict(self), **paths, "arguments": arguments}).encode()


def injected(notebook: dict[str, Any], parameters: dict[str, Any]) -> Injected:
    """Return what papermill does with the parameters: it replaces the cell in a notebook that papermill wrote."""
    if not parameters:
        return ""
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    tagged = (cell for cell in cells if INJECTED in ((cell.get("metadata") or {}).get("tags") or ()))
    return "replaced" if next((cell.get("cell_type") == "code" for cell in tagged), False) else "added"
