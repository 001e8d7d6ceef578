"""Starts one of the runner's processes: `python -I -S KIT/builder/vm/runner run|papermill|html …`.

The path has the kit's trees and the standard library, and no package of the image: those are for the kernel.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any


def load_lazily(name: str) -> None:
    """Register a module that is loaded when one of its attributes is first used, since few runs need it.

    Python's own `LazyLoader` loads the module at its second import.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name=name)
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def load(attribute: str) -> Any:
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = load
    sys.modules[name] = module


def load_lean(site: Path, *packages: str) -> None:
    """Register each package without running its `__init__`, which imports many modules that are not needed here."""
    for name in packages:
        package = types.ModuleType(name)
        package.__path__ = [str(site.joinpath(*name.split(".")))]
        sys.modules[name] = package


def main() -> int:
    """Set the path, then import and run the process that the arguments name. Returns the exit code."""
    kit = Path(__file__).resolve().parents[3]
    trees = [kit, kit / "runner-site", kit / "runner-site.zip", kit / "kernel", kit / "kernel.zip"]
    # The interpreter has put this file's folder first; the kit takes its place.
    sys.path[:1] = map(str, trees)
    # Relative imports need the package of this file.
    globals().update(__package__="builder.vm.runner", __spec__=None)
    if sys.argv[1] == "papermill":
        load_lazily("requests")  # for notebooks at a URL; ours are files
        load_lean(kit / "kernel", "IPython", "IPython.utils")  # jupyter_client asks both for folders only
        load_lean(kit / "kernel.zip", "ipykernel")
        from . import papermill_process

        return papermill_process.main(sys.argv[2:])
    if sys.argv[1] == "html":
        load_lean(kit / "runner-site.zip", "nbconvert", "nbconvert.filters", "nbconvert.preprocessors")
        load_lazily("bs4")  # for pictures in HTML in a Markdown cell
        from . import html

        return html.main(sys.argv[2:])
    from . import notebook, processes

    processes.adopt_orphans()
    # papermill and the storage client take half a second each to load; this way they load in parallel.
    papermill = notebook.Papermill()
    for signing in ("google.auth.crypt", "google.auth.iam", "google.auth.jwt"):
        load_lazily(signing)  # the VM has no key, and the kit has no cryptography
    from . import app

    return app.main(sys.argv[2:], papermill)


if __name__ == "__main__":
    sys.exit(main())
