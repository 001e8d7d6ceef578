"""Reads and writes the bucket, and calls other APIs. The only module of the runner that imports Google's clients."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import requests
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.auth.compute_engine import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY

from builder.vm.protocol import Input, StoredObject

RETRY_SECONDS = 180.0
RETRY = DEFAULT_RETRY.with_timeout(RETRY_SECONDS).with_delay(initial=0.5, multiplier=2.0, maximum=20.0)
CALL_SECONDS = 60.0
PAUSE_SECONDS = 0.3
MAX_PAUSE_SECONDS = 3.0


class StorageError(Exception):
    """A call to the bucket failed, after its repetitions. The text names object and cause."""

    @property
    def forbidden(self) -> bool:
        """True if the VM's account lacks a permission."""
        return isinstance(self.__cause__, Forbidden)


def access_token() -> str:
    """Return an access token of the VM's account. Raises `StorageError` if the metadata server returns none."""
    credentials = Credentials()
    try:
        credentials.refresh(Request())
    except GoogleAuthError as error:
        message = f"no access token for the VM's account: {error}"
        raise StorageError(message) from error
    return str(credentials.token)


@dataclass(frozen=True)
class Fetched:
    """A staged object that was read: its content, unless it is in a file, and its entry in the evidence."""

    content: bytes
    input: Input


class Bucket:
    """One bucket, used as the VM's account, from any thread."""

    def __init__(self, endpoint: str, name: str) -> None:
        # Our calls need no project; without one, the client would search for it.
        client = Client(project="-", credentials=Credentials(), client_options={"api_endpoint": endpoint})
        self._bucket = client.bucket(name)
        self._name = name

    def fetch(self, name: str, sha256: str, deadline: float, target: Path | None = None) -> Fetched:
        """Read an object, into `target` if given, once it is there, until `deadline` (monotonic seconds).

        A missing object gives 404, or 403 if the account may not list. Raises `StorageError`, also for another hash
        than `sha256`.
        """
        pause = PAUSE_SECONDS
        while True:
            try:
                with self._translated(name):
                    return self._read(name, sha256, target)
            except StorageError as error:
                if (
                    not isinstance(error.__cause__, (NotFound, Forbidden))
                    or time.monotonic() + pause > deadline
                ):
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_PAUSE_SECONDS)

    def _read(self, name: str, sha256: str, target: Path | None) -> Fetched:
        blob = self._bucket.blob(name)
        blob.reload(timeout=CALL_SECONDS, retry=RETRY)
        pinned = self._bucket.blob(name, generation=blob.generation)
        buffer = io.BytesIO() if target is None else target.open("w+b")
        with buffer:
            pinned.download_to_file(buffer, timeout=CALL_SECONDS, retry=RETRY, checksum="crc32c")
            buffer.seek(0)
            digest = hashlib.file_digest(buffer, "sha256").hexdigest()
            content = buffer.getvalue() if isinstance(buffer, io.BytesIO) else b""
        if digest != sha256:
            message = f"gs://{self._name}/{name} has sha256 {digest}, not {sha256} as staged"
            raise StorageError(message)
        return Fetched(content, Input(digest, int(blob.generation)))

    def create(self, name: str, source: bytes | Path, content_type: str) -> StoredObject:
        """Create an object that must not exist. Raises `StorageError`.

        A repetition after a lost reply finds our own object: a 412 with equal bytes is success.
        """
        with (
            self._translated(name),
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
        ):
            crc32c = _crc32c(file)
            size = file.tell()
            file.seek(0)
            blob = self._bucket.blob(name)
            try:
                blob.upload_from_file(
                    file,
                    size=size,
                    content_type=content_type,
                    if_generation_match=0,
                    checksum="crc32c",
                    timeout=CALL_SECONDS,
                    retry=RETRY,
                )
            except PreconditionFailed:
                blob.reload(timeout=CALL_SECONDS, retry=RETRY)
                if blob.crc32c != crc32c:
                    raise
            if (blob.crc32c, blob.size) != (crc32c, size):
                message = f"gs://{self._name}/{name} holds {blob.size} bytes, crc32c {blob.crc32c}; sent: {size}, {crc32c}"
                raise StorageError(message)
            return StoredObject(name, size, crc32c, int(blob.generation))

    def read(self, name: str) -> bytes:
        """Return the object's bytes. Raises `StorageError`."""
        with self._translated(name):
            blob = self._bucket.blob(name)
            content: bytes = blob.download_as_bytes(timeout=CALL_SECONDS, retry=RETRY, checksum="crc32c")
            return content

    def generation(self, name: str) -> str:
        """Return the object's generation; "" if there is none, or if this one call fails."""
        blob = self._bucket.blob(name)
        try:
            with self._translated(name):
                blob.reload(timeout=CALL_SECONDS, retry=None)
        except StorageError:
            return ""
        return str(blob.generation or "")

    def overwrite(self, name: str, content: bytes, patience: float) -> None:
        """Write an object, or replace it, in one try of at most `patience` seconds. Raises `StorageError`."""
        with self._translated(name):
            self._bucket.blob(name).upload_from_string(
                content, content_type="application/json", timeout=patience, retry=None, checksum="crc32c"
            )

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except (
            GoogleAPIError,
            GoogleAuthError,
            InvalidResponse,
            DataCorruption,
            requests.RequestException,
        ) as error:
            message = f"gs://{self._name}/{name}: {type(error).__name__}: {_google_message(error)[:500]}"
            raise StorageError(message) from error


def _google_message(error: Exception) -> str:
    """Return Google's own message, if the error carries an answer; the client's text quotes the whole answer."""
    response: Any = getattr(error, "response", None)
    try:
        answer = response.json()["error"]
        return f"{answer['code']} {answer['message']}"
    except (AttributeError, ValueError, KeyError, TypeError):
        return str(error)


def _crc32c(file: io.BufferedIOBase) -> str:
    """Return the CRC32C in base64 of the rest of `file`, and move to its end."""
    checksum = google_crc32c.Checksum()
    while data := file.read(1 << 20):
        checksum.update(data)
    return base64.b64encode(checksum.digest()).decode()


def crc32c(data: bytes) -> int:
    """Return the CRC32C as Google's newer APIs return it."""
    return int.from_bytes(google_crc32c.Checksum(data).digest(), "big")


def ask_google(url: str, seconds: float) -> tuple[int, bytes]:
    """Send one GET to a Google API as the VM's account. Returns status and body. Raises ConnectionError."""
    try:
        with AuthorizedSession(Credentials()) as session:
            answer = session.get(url, timeout=seconds)
            return answer.status_code, answer.content
    except (GoogleAuthError, requests.RequestException) as error:
        message = f"{type(error).__name__}: {str(error)[:300]}"
        raise ConnectionError(message) from error
