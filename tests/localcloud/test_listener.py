"""The HTTP server by itself: clients that disconnect early."""

import gc
import socket
import struct
import threading

from werkzeug import Request, Response

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
