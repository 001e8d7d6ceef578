"""The HTTP server by itself: what a client that goes away leaves behind."""

import gc
import socket
import struct
import threading

from werkzeug import Request, Response

from localcloud.listener import Listener

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def test_a_client_that_is_gone_before_its_answer_leaves_no_socket_open() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def app(_request: Request) -> Response:
        asked.set()
        may_answer.wait(10)
        return Response(b"too late")

    listener = Listener(app)
    before = set(threading.enumerate())
    listener.start()
    client = socket.create_connection(("127.0.0.1", listener.port))
    client.sendall(f"GET / HTTP/1.1\r\nHost: {listener.address}\r\n\r\n".encode())
    assert asked.wait(10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.close()
    may_answer.set()
    listener.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    gc.collect()  # a socket left open is a ResourceWarning, which fails the test
