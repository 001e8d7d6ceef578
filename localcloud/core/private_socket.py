"""HTTP to a helper process over a Unix socket in a folder that only this user may enter.

A port on loopback is open to every user of the machine and to web pages in a browser on it. Helper processes check
neither tokens nor the Host header, so they get no port.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

if TYPE_CHECKING:
    from pathlib import Path


def connect(path: Path, seconds: float | None) -> socket.socket:
    """Return a connection to the socket, whose path may be longer than a socket's address; raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(seconds)
    folder = -1
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        made.connect(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        made.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return made


class _Connection(HTTPConnection):
    path: Path
    connect_seconds: float

    def _new_conn(self) -> socket.socket:
        try:
            return connect(self.path, self.connect_seconds)
        except OSError as error:
            raise NewConnectionError(self, f"{self.path}: {error}") from error


class PrivatePool(HTTPConnectionPool):
    """urllib3's connections to a helper's socket. It repeats no request."""

    def __init__(self, path: Path, *, size: int = 1, connect_seconds: float = 5.0) -> None:
        super().__init__("localhost", maxsize=size, retries=False)
        self.ConnectionCls = type("", (_Connection,), {"path": path, "connect_seconds": connect_seconds})
