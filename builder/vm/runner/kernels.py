"""Chooses the notebook's kernel: the image's Python with the kit's ipykernel, or a kernel of the image."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fault import Fault
from .kernel_launcher import KIT_FIRST

PYTHON = "python3"
# The names of kernels of other languages, such as ir, julia-1.10, and sparkkernel. Short words must be whole.
_OTHER_LANGUAGE = re.compile(
    r"julia|bash|scala|spark|deno|xcpp|octave|matlab|java|gophernotes|(?:ir|sas|rust|go)(?:kernel|[-_.\d]|$)"
)
SYSTEM_FOLDERS = ("/usr/local/share/jupyter", "/usr/share/jupyter")


@dataclass(frozen=True)
class Kernel:
    """The kernel to use, its language, and a remark for the log if it is not the requested one.

    The language is written as in the kernelspec: papermill knows `R`, and not `r`.
    """

    name: str
    language: str
    remark: str = ""


def write_python_kernel(folder: Path, launcher: Path, kit_first: Iterable[str] = ()) -> None:
    """Write the kernelspec `python3` below `folder`, a Jupyter data folder.

    `kit_first`: the kit's packages that come first.
    """
    spec = {
        # Its warnings are about its operation (no debugger, local TCP), not about the notebook.
        "argv": [sys.executable, str(launcher), "-f", "{connection_file}", "--log-level=ERROR"],
        "display_name": "Python 3",
        "language": "python",
        "interrupt_mode": "signal",
        "env": {KIT_FIRST: " ".join(kit_first)},
    }
    target = folder / "kernels" / PYTHON / "kernel.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(spec), encoding="utf-8")


def choose(requested: str | None, notebook: dict[str, Any], folders: list[Path]) -> Kernel:
    """Return the kernel for a notebook. Raises `Fault` if it is neither on the image nor a Python kernel."""
    metadata = notebook.get("metadata", {})
    spec = metadata.get("kernelspec", {})
    name = requested or spec.get("name") or PYTHON
    if name == PYTHON:
        return Kernel(PYTHON, "python")
    installed = find(name, folders)
    if installed:
        return Kernel(name, str(installed.get("language", "python")))
    # The notebook's metadata describes its own kernel, not another requested one.
    own = name == spec.get("name")
    language = str(
        (spec.get("language") or metadata.get("language_info", {}).get("name") or "") if own else ""
    )
    if language.lower().startswith("python") or (not language and _sounds_like_python(name)):
        return Kernel(PYTHON, "python", f"kernel {name!r} is not on this image: {PYTHON} is used")
    message = f"kernel {name!r} ({language or 'language unknown'}) is not on this image, which has: {_names(folders)}"
    raise Fault("kernel_not_found", message)


def _sounds_like_python(name: str) -> bool:
    return _OTHER_LANGUAGE.match(name.lower()) is None


def find(name: str, folders: list[Path]) -> dict[str, Any] | None:
    """Return the kernelspec of that name in one of the Jupyter data folders."""
    for folder in folders:
        for path in folder.glob("kernels/*/kernel.json"):
            if path.parent.name.lower() == name.lower():
                try:
                    value = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    continue
                return value if isinstance(value, dict) else None
    return None


def data_folders() -> list[Path]:
    """Return Jupyter's data folders, in its order. A set-up script can install a kernel in the user's own one."""
    # An image may set Jupyter's own variable for the user's folder.
    own = os.environ.get("JUPYTER_DATA_DIR") or Path.home() / ".local/share/jupyter"
    return [Path(own), Path(sys.prefix, "share", "jupyter"), *map(Path, SYSTEM_FOLDERS)]


def _names(folders: list[Path]) -> str:
    names = {path.parent.name for folder in folders for path in folder.glob("kernels/*/kernel.json")}
    return ", ".join(sorted(names | {PYTHON}))
