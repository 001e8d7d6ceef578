"""A container registry in memory, enough for `docker push` and `docker pull`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


class Registry:
    """Blobs and manifests by the last part of their path: a digest, an upload's number or a tag."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[bytes, str]] = {}
        self.host = ""

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start)

    def _answer(self, request: Request) -> Response:
        key = request.path.rpartition("/")[2]
        if request.method == "POST":
            upload = f"{request.path}{len(self.stored)}"
            return Response(status=202, headers={"Location": upload, "Range": "0-0"})
        if request.method == "PATCH":
            content = request.get_data()
            self.stored[key] = (content, "")
            headers = {"Location": request.path, "Range": f"0-{len(content) - 1}"}
            return Response(status=202, headers=headers)
        if request.method == "PUT":
            return self._keep(request, key)
        if request.path == "/v2/":
            return Response("{}")
        if key not in self.stored:
            return Response("{}", status=404)
        content, kind = self.stored[key]
        return Response(content, headers={"Docker-Content-Digest": digest(content)}, content_type=kind)

    def _keep(self, request: Request, key: str) -> Response:
        content = self.stored.get(key, (b"", ""))[0] + request.get_data()
        for name in (key, digest(content)):
            self.stored[name] = (content, request.content_type or "application/octet-stream")
        headers = {"Docker-Content-Digest": digest(content), "Location": request.path}
        return Response(status=201, headers=headers)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def registry() -> Iterator[Registry]:
    """Serve one on loopback, which engines take without TLS."""
    made = Registry()
    server = make_server("127.0.0.1", 0, made, threaded=True)
    made.host = f"127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
