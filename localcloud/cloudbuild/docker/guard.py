"""Removes a build's containers, volumes and images from the engine, also when localcloud was killed.

For that it runs as `python -I -S guard.py PROGRAM LABEL=ID` and waits on its stdin: a byte there means that the build was
closed, its end without one that the owner was killed, whose last calls may still be under way.
"""

from __future__ import annotations

import subprocess
import sys
import time

# (what lists, what removes)
_KINDS = (
    (("ps", "--all"), ("rm", "--force", "--volumes")),
    (("volume", "ls"), ("volume", "rm", "--force")),
    (("images",), ("rmi", "--force")),
)
_ROUNDS = 5
_PAUSE_SECONDS = 1.0


def clean(program: str, label: str) -> None:
    """Remove everything that has the label."""
    for listing, removal in _KINDS:
        found = subprocess.run(
            [program, *listing, "--quiet", "--filter", f"label={label}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if names := sorted(set(found.stdout.split())):
            subprocess.run([program, *removal, *names], capture_output=True, check=False)


def main(program: str, label: str) -> None:
    """Wait for the end of the owner, then clean, again and again for a while."""
    closed = sys.stdin.buffer.read()
    for _ in range(0 if closed else _ROUNDS):
        clean(program, label)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
