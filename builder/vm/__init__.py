"""The code that runs on the VM, and the protocol between builder and VM."""

from __future__ import annotations

from pathlib import Path

MARKER = "NOTEBOOK_BUILDER_BOOTSTRAP"


def startup_script() -> str:
    """Return the instance's `startup-script`: startup.sh with bootstrap.py in its here-document.

    It is the same for every job.
    """
    here = Path(__file__).resolve().parent
    shell = (here / "startup.sh").read_text(encoding="utf-8")
    python = (here / "bootstrap.py").read_text(encoding="utf-8")
    head, opening, tail = shell.partition(f"<<'{MARKER}'\n")
    if not opening or f"\n{MARKER}\n" in python:
        message = f"startup.sh and bootstrap.py must agree on the here-document's end, {MARKER}"
        raise ValueError(message)
    return head + opening + python + tail
