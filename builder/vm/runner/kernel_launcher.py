"""Starts an IPython kernel on the image's own Python: the image's packages first, the kit's kernel tree last.

Runs with the image's packages, so it imports nothing of the kit before the path is set.
"""

import os
import site
import sys
from pathlib import Path

KIT_FIRST = "NB_KIT_FIRST"


def set_path(*, kit_first: bool) -> None:
    """Take our own folder off the path; behind the image's packages come the notebook's own, then the kernel tree, or that first."""
    here = Path(__file__).resolve().parent
    tree = [str(here.parent / "kernel"), str(here.parent / "kernel.zip")]
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    sys.path[:] = path
    overlay = here.parent.parent / "overlay"
    if overlay.is_dir():
        site.addsitedir(str(overlay))  # appends it, and what its .pth files name
    sys.path[:] = tree + sys.path if kit_first else sys.path + tree


def main() -> None:
    """Start the kernel; where the image's packages do not fit ipykernel, once more with the kit's in front."""
    kit_first = os.environ.pop(KIT_FIRST, "") == "1"
    set_path(kit_first=kit_first)
    try:
        from ipykernel.kernelapp import IPKernelApp
    except Exception as error:
        # Not ImportError alone: with typing_extensions 4.10, Ubuntu 24.04's, jupyter_client raises a TypeError.
        if kit_first:
            raise
        why = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"the image's packages do not fit the kernel ({why}); using the kit's own first\n")
        os.environ[KIT_FIRST] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - our own command line once more
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
