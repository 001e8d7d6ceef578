"""The work for papermill's process, and how it reads it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .frames import INJECTED

# A kernel's first start on a fresh disk is slow.
KERNEL_SECONDS = 180


@dataclass(frozen=True)
class PapermillRequest:
    """The work for papermill's process. `folder` has input.ipynb and gets output.ipynb; `cwd` is the notebook's folder.

    `replaces_injected`: the parameters replace a code cell of the input. `secrets` has variables for the kernel only.
    """

    folder: Path
    cwd: Path
    notebook: str
    name: str
    kernel: str
    language: str
    parameters: dict[str, Any]
    replaces_injected: bool
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


def replaces_injected(notebook: dict[str, Any]) -> bool:
    """Return True if papermill replaces a code cell by its parameters, as in a notebook that papermill wrote."""
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    tagged = (cell for cell in cells if INJECTED in ((cell.get("metadata") or {}).get("tags") or ()))
    return next((cell.get("cell_type") == "code" for cell in tagged), False)
