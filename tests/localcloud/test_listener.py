"""The HTTP server by itself: clients that disconnect early."""

import contextlib
import gc
import socket
import struct
import threading
from pathlib import Path

import pytest
from werkzeug import Request, Response

from localcloud.core import peers
from localcloud.core.http import Listener
from tests.patience import PATIENCE

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def test_a_client_that_is_gone_before_its_answer_leaves_no_socket_open() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def app(_request: Request) -> Response:
        asked.set()
        may_answer.wait(PATIENCE)
        return Response(b"too late")

    listener = Listener(app)
    before = set(threading.enumerate())
    listener.start()
    client = socket.create_connection(("127.0.0.1", listener.port))
    client.sendall(f"GET / HTTP/1.1\r\nHost: {listener.address}\r\n\r\n".encode())
    assert asked.wait(PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.close()
    may_answer.set()
    listener.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    gc.collect()  # a socket left open is a ResourceWarning, which fails the test


def test_a_kernel_that_does_not_name_the_owner_once_ends_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(lambda _request: Response(b"ours"), own_user_only=True)
    listener.start()

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", listener.port), PATIENCE) as client:
            client.sendall(f"GET / HTTP/1.0\r\nHost: {listener.address}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionError):
                return client.makefile("rb").read()
        return b""

    with monkeypatch.context() as patched:
        patched.setattr(peers, "_TABLE", tmp_path / "missing")
        assert ask() == b""
    assert ask().endswith(b"ours")
    listener.close()
