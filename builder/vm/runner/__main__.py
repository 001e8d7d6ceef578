"""Starts one of the runner's processes on the kit's own packages: `python -I -S KIT/runner run|papermill|html …`.

The path is the kit's trees and the standard library, nothing of the image: its packages belong to the kernel.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path


def load_lean(site: Path, *packages: str) -> None:
    """Have each package's modules loaded without its `__init__`, which loads many that are not needed here."""
    for name in packages:
        package = types.ModuleType(name)
        package.__path__ = [str(site.joinpath(*name.split(".")))]
        sys.modules[name] = package


def main() -> int:
    """Set the path up, import the part asked for, run it; return the exit code."""
    kit = Path(__file__).resolve().parent.parent
    trees = [kit, kit / "runner-site", kit / "kernel", kit / "kernel.zip"]
    # The first entry is the folder of this file, put there by the interpreter; the package lies one above.
    sys.path[:1] = map(str, trees)
    # Relative imports, which a type checker can follow, need to know the package that this file is in.
    globals().update(__package__="runner", __spec__=None)
    if sys.argv[1] == "papermill":
        from . import papermill_process

        return papermill_process.main(sys.argv[2:])
    if sys.argv[1] == "html":
        load_lean(kit / "runner-site", "nbconvert", "nbconvert.filters", "nbconvert.preprocessors")
        from . import html

        return html.main(sys.argv[2:])
    from . import notebook, processes

    processes.adopt_orphans()
    # papermill and the storage client take half a second each to load; this way they do it side by side.
    papermill = notebook.Papermill()
    from . import app

    return app.main(sys.argv[2:], papermill)


if __name__ == "__main__":
    sys.exit(main())
