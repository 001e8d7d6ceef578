"""What runs on the VM. `startup_script()` is the text of the instance's `startup-script`: the same for every job."""

from __future__ import annotations

from pathlib import Path

MARKER = "NOTEBOOK_BUILDER_BOOTSTRAP"


def startup_script() -> str:
    """Return startup.sh with bootstrap.py in its here-document. No input of any run goes into it."""
    here = Path(__file__).resolve().parent
    shell = (here / "startup.sh").read_text(encoding="utf-8")
    python = (here / "bootstrap.py").read_text(encoding="utf-8")
    head, opening, tail = shell.partition(f"<<'{MARKER}'\n")
    if not opening or f"\n{MARKER}\n" in python:
        message = f"startup.sh and bootstrap.py must agree on the here-document's end, {MARKER}"
        raise ValueError(message)
    return head + opening + python + tail
