"""Removes a build's containers, volumes and images from the engine, even if localcloud was killed.

It runs as `python -I -S guard.py PROGRAM LABEL=ID` and waits on its stdin: a byte means that the build was
closed. An end without a byte means that the owner was killed; its last calls may still be running.
"""

from __future__ import annotations

import subprocess
import sys
import time

# (command that lists, command that removes)
_KINDS = (
    (("ps", "--all"), ("rm", "--force", "--volumes")),
    (("volume", "ls"), ("volume", "rm", "--force")),
    (("images",), ("rmi", "--force")),
)
_ROUNDS = 5
CALL_SECONDS = 60.0
_PAUSE_SECONDS = 1.0


def clean(program: str, label: str) -> None:
    """Remove everything with the label."""
    for listing, removal in _KINDS:
        names = _output([program, *listing, "--quiet", "--filter", f"label={label}"]).split()
        if names:
            _output([program, *removal, *sorted(set(names))])


def _output(command: list[str]) -> str:
    """Return the output of a command; empty if it does not end in time, as when the engine hangs."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=CALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def main(program: str, label: str) -> None:
    """Wait for the owner's end, then clean several times, for a while."""
    closed = sys.stdin.buffer.read()
    for _ in range(0 if closed else _ROUNDS):
        clean(program, label)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
