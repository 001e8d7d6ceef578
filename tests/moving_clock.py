"""Moves localcloud's clock for builders in other processes, at less cost than by HTTP."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builder.waiting import Cancellation
from localcloud.core.clock import Clock

Address = tuple[str, int]


class _Moves(socketserver.StreamRequestHandler):
    """Answers each line, which has seconds, when the clock has moved. A killed process can leave half a line."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        while (line := self.rfile.readline()).endswith(b"\n"):
            self.server.clock.advance(float(line))
            self.wfile.write(b"\n")


class _Server(socketserver.ThreadingTCPServer):
    """Serves one clock."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(("127.0.0.1", 0), _Moves)
        self.clock = clock

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print every error but that of a process that was killed while it waited for the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(clock: Clock) -> Iterator[Address]:
    """Serve a clock. Yields the address for `MovingClock`."""
    with _Server(clock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield "127.0.0.1", server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class MovingClock:
    """The clock of a builder in another process: a sleep passes at once, for localcloud as well."""

    def __init__(self, address: Address, cancellation: Cancellation) -> None:
        self._connection = socket.create_connection(address)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        self._cancellation = cancellation
        self._slept = 0.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic() + self._slept

    def sleep(self, seconds: float) -> None:
        """Move both clocks. Raises Interrupted when the run is cancelled."""
        self._cancellation.check()
        self._slept += seconds
        with self._lock:
            self._connection.sendall(f"{seconds}\n".encode())
            if not self._connection.recv(1):
                raise ConnectionError("localcloud's clock did not move")
        time.sleep(0.002)  # what others do in real time goes on meanwhile
