"""Gives a child process of the kernel the packages that the kernel finds, if it runs on the kernel's own Python.

The kernel puts this folder on PYTHONPATH, and Python imports this module when it starts. In any other Python, such as a
tool's own, it changes nothing.
"""

# ruff: noqa: INP001 - a folder of PYTHONPATH, no package

import importlib.util
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Set the path as the kernel has it, then import the `sitecustomize` that this one hides, if there is one."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    if os.environ.get("NB_KERNEL_PYTHON") == f"{sys.version_info[0]}.{sys.version_info[1]}:{sys.prefix}":
        spec = importlib.util.spec_from_file_location("kernel_launcher", HERE.parent / "kernel_launcher.py")
        launcher = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(launcher)  # type: ignore[union-attr]
        launcher.set_path(os.environ.get("NB_KERNEL_FIRST", ""))
    own = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found] # noqa: F401 - the next one on the path
    except ImportError:
        sys.modules[__name__] = own


main()
