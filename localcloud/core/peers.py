"""Asks the kernel which user owns the other end of a connection on loopback."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_USER = 4  # the column with the owner's id, counted from after the addresses
ROOT = 0
# The kernel gives the table out in pieces, and a piece can miss a line if connections come and go meanwhile.
_READS = 3


def is_ours(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Return True if a process of this user, or of root, opened the connection from `client` to `server`."""
    for _ in range(_READS):
        owner = _owner(client, server)
        if owner is not None:
            return owner in {os.getuid(), ROOT}
    return False


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the id of the user who opened a connection; None if the table does not have it."""
    # A table can have thousands of lines, so only the one is split.
    _, found, rest = _TABLE.read_text("ascii").partition(f" {_written(client)} {_written(server)} ")
    return int(rest.split(maxsplit=_USER + 1)[_USER]) if found else None


def _written(address: tuple[str, int]) -> str:
    """Return an address as the kernel's table has it: in hex, the bytes of the host in the machine's order."""
    host = int.from_bytes(socket.inet_aton(address[0]), "little")
    return f"{host:08X}:{address[1]:04X}"
