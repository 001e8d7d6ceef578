"""An HTTP/1.1 server on loopback: keep-alive, a thread per connection, and connections that can be reset on purpose."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from werkzeug import Request, Response
from werkzeug.serving import DechunkedInput, ThreadedWSGIServer, WSGIRequestHandler

from localcloud.core.errors import forbidden
from localcloud.core.peers import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from io import BufferedIOBase

HOST = "127.0.0.1"

# After an early answer, a rest of the body up to this size is read and dropped; beyond it the connection ends.
_DRAIN_LIMIT = 64 << 20
_LINGER_OFF = struct.pack("ii", 1, 0)
_IDLE_SECONDS = 900.0


class DropConnection(Exception):
    """Raised by an app to reset the connection without an answer."""


class _Body:
    """The request's body, and no byte of the next request on the connection."""

    def __init__(self, source: BufferedIOBase, length: int) -> None:
        self._source = source
        self.left = length

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    def readline(self, size: int = -1) -> bytes:
        data = self._source.readline(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    def drain(self) -> bool:
        """Read the rest of the body; False if it is too long."""
        while 0 < self.left <= _DRAIN_LIMIT:
            if not self.read(1 << 20):
                return False
        return self.left == 0


class _Handler(WSGIRequestHandler):
    """werkzeug's environ, with our own loop: werkzeug's closes the connection after each request."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header: the local cloud's time, which tests can move."""
        server = cast("Listener", self.server)
        return super().date_time_string(server.now() if timestamp is None else timestamp)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Log nothing: services report their calls."""

    def finish(self) -> None:
        """Close the socket, even if the client is gone and buffered bytes cannot be sent."""
        with contextlib.suppress(OSError):
            self.wfile.close()
        self.rfile.close()

    def run_wsgi(self) -> None:
        body = self._prepare()
        if body is None:
            return
        try:
            self._answer(self.server.app(self.environ, self._start))
        except DropConnection:
            self._reset()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        else:
            if not body.drain():
                self.close_connection = True

    def _prepare(self) -> _Body | None:
        """Return the environ; None if the request's framing is bad (an error has been sent)."""
        self.environ = self.make_environ()
        try:
            body = _Body(self.rfile, int(self.headers.get("Content-Length") or 0))
        except ValueError:
            self.send_error(400)
            return None
        if isinstance(self.environ["wsgi.input"], DechunkedInput):
            self.close_connection = True  # where a chunked body ends, only its reader knows
        else:
            self.environ["wsgi.input"] = body
        return body

    def _start(
        self, status: str, headers: list[tuple[str, str]], _exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        code, _, phrase = status.partition(" ")
        names = {name.lower() for name, _value in headers}
        bodiless = self.command == "HEAD" or code in {"204", "304"}
        self._chunked = not bodiless and "content-length" not in names
        self.send_response(int(code), phrase)
        for name, value in headers:
            self.send_header(name, value)
        if self._chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        return self.wfile.write

    def _answer(self, parts: Iterable[bytes]) -> None:
        try:
            for part in parts:
                if part:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part)
            if self._chunked:
                self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)


class Listener(ThreadedWSGIServer):
    """Serves one app on 127.0.0.1 in threads of its own, from `start` to `close`.

    Raises OSError when the port is taken. `names` are further host names of this server. A request with another host
    name gets a 403, and so does one that a web page sends: a browser on this machine must not be a way in.
    `own_user_only` ends the connections of other users of the machine.
    """

    def __init__(
        self,
        app: Callable[[Request], Response],
        port: int = 0,
        *,
        now: Callable[[], float] = time.time,
        names: Sequence[str] = (),
        own_user_only: bool = False,
    ) -> None:
        self.now = now
        self._own_user_only = own_user_only
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._respond = app
        with socket.create_server((HOST, port), backlog=256) as bound:
            super().__init__(
                HOST, port, self._app, handler=_Handler, passthrough_errors=False, fd=bound.fileno()
            )
        self.address = f"{HOST}:{self.port}"
        self._hosts = {self.address, f"localhost:{self.port}", *names}
        self._thread = threading.Thread(target=self._serve, name=f"listener-{self.port}", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and end the connections still open."""
        self._closing = True
        if self._thread.is_alive():
            # Wakes the thread that waits for connections.
            self.socket.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self._closing:
            self.handle_request()

    def _app(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        response = _refusal(request, self._hosts, self.address) or self._respond(request)
        return response(environ, start_response)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return False for a connection that is ended without an answer."""
        try:
            return not self._own_user_only or is_ours(client_address, request.getsockname())
        except OSError:  # no descriptor is left, for instance: an exception would end the listener's thread
            return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `close` can end it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection; a reset needs a close without a shutdown."""
        with self._lock:
            self._connections.discard(request)
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_LINGER_OFF))
        if linger == _LINGER_OFF:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away, and errors while closing; print any other error, which is a bug."""
        if not self._closing:
            super().handle_error(request, client_address)


def _refusal(request: Request, hosts: Collection[str], address: str) -> Response | None:
    if request.environ.get("HTTP_HOST") in hosts and "Origin" not in request.headers:
        return None
    error = forbidden(f"localcloud answers only calls to {address} that come from no web page.")
    return json_response(error.response_json(), error.status)


def json_response(body: Any, status: int = 200) -> Response:
    """Return a JSON answer as Google's servers print it."""
    text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    return Response(text, status=status, content_type="application/json; charset=UTF-8")
