"""A package index on loopback, with tiny wheels made for a test: pages as indexes have them, and ways to fail."""

from __future__ import annotations

import hashlib
import http.server
import io
import ssl
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


def wheel(name: str, version: str, requires: Sequence[str] = (), module: str = "") -> tuple[str, bytes]:
    """File name and bytes of a wheel with one module of the same name, which knows its version."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": module or f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {text}\n" for text in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "".join(f"{path},,\n" for path in files))
    return f"{name}-{version}-py3-none-any.whl", buffer.getvalue()


class PackageIndex:
    """Serves wheels below `url`. `status` refuses every request; `silence` lets it wait; `user` wants to be told."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.status = 0
        self.silence = 0.0
        self.user: tuple[str, str] | None = None
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requests.append(self.path)
                time.sleep(index.silence)
                status, content = index.answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header(
                    "Content-Type", "text/html" if self.path.endswith("/") else "application/zip"
                )
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            do_HEAD = do_GET  # noqa: N815 - the library's name

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def serve_by_tls(self, chain: Path) -> None:
        """Serve by TLS from now on, with the key and the certificate in this file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http://", "https://")

    def add(self, name: str, version: str, requires: Sequence[str] = (), module: str = "") -> str:
        """Offer a wheel; return its hash as requirements files write it."""
        file, content = wheel(name, version, requires, module)
        self.wheels[file] = content
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        if self.status:
            return self.status, b""
        if self.user and authorization != "Basic " + b64encode(":".join(self.user).encode()).decode():
            return 401, b""
        file = path.rpartition("/")[2]
        if file in self.wheels:
            return 200, self.wheels[file]
        name = path.strip("/").rpartition("/")[2]
        files = [file for file in self.wheels if file.split("-")[0].replace("_", "-") == name]
        page = "".join(f'<a href="/files/{file}">{file}</a>' for file in files)
        return (200, f"<html><body>{page}</body></html>".encode()) if files else (404, b"")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
