"""Cloud Storage through google-cloud-storage: the ObjectStore of one bucket.

The library's own retries are off: one loop of the builder repeats calls, so that budgets and cancellation apply
everywhere. After a lost reply a repeated create gets a 412 from its own object; equal bytes then mean success
(docs/facts.md 2).
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import google_crc32c
from google.cloud.storage import Blob, Client

from builder.check_ports import BucketSettings
from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.model import Listed
from builder.ports import MAX_BYTES, CallFailed, Clock

T = TypeVar("T")

_FIELDS = "items(name,size,crc32c,generation,timeCreated),nextPageToken"

# No object has this generation: they are microseconds since 1970. Cloud Storage is expected to ask for the permission
# before it compares generations; nobody has confirmed this (docs/facts.md 2).
_NO_GENERATION = 1
_NO_SUCH_GENERATION = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_FOUND})

# Else the library reads each bucket in the background for traces, which are off: a call that the builder's account is
# not allowed to make, and that the library repeats for two minutes (docs/facts.md 2).
os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"


class _FullError(Exception):
    """Ends a download of which enough is there."""


class _Beginning(io.BytesIO):
    """Takes the first bytes of a download."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # the library writes bytes only
        self._left -= super().write(data[: self._left])
        if not self._left:
            raise _FullError
        return len(data)


class GoogleObjectStore:
    """The ports `ports.ObjectStore` and `check_ports.Bucket`."""

    def __init__(
        self,
        access: Access,
        bucket: str,
        clock: Clock,
        *,
        timeout: float = CALL_TIMEOUT,
        budget: float = CALL_BUDGET,
    ) -> None:
        self.bucket = bucket
        self._calls = Calls(clock, budget, timeout)
        self._client = Client(
            project=access.project,
            credentials=access.credentials,
            client_options={"api_endpoint": access.endpoint("storage")},
        )
        self._bucket = self._client.bucket(bucket)

    def close(self) -> None:
        """Close the connections. A process that ends need not call it."""
        self._client.close()

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        return self._upload_over(name, content, content_type, generation=0)

    def swap(self, name: str, content: bytes, *, generation: int, content_type: str) -> Listed | None:
        return self._upload_over(name, content, content_type, generation=generation)

    def _upload_over(
        self, name: str, content: bytes | Path, content_type: str, *, generation: int
    ) -> Listed | None:
        """Replace this generation (0: none); None if another one with other bytes exists."""
        try:
            return self._upload(name, content, content_type, if_generation_match=generation)
        except CallFailed as failure:
            if failure.http_status != HTTPStatus.PRECONDITION_FAILED:
                raise
        return self._existing(name, _crc32c(content))

    def _existing(self, name: str, crc32c: str) -> Listed | None:
        """The object that exists if its bytes are equal, as after a lost reply; else None."""
        existing = self.stat(name)
        return existing if existing and existing.crc32c == crc32c else None

    def replace(self, name: str, content: bytes, *, content_type: str) -> Listed:
        return self._upload(name, content, content_type, if_generation_match=None)

    def _upload(
        self, name: str, content: bytes | Path, content_type: str, *, if_generation_match: int | None
    ) -> Listed:
        blob = self._bucket.blob(name)

        def send() -> Listed:
            if isinstance(content, Path):
                blob.upload_from_filename(
                    str(content),
                    content_type=content_type,
                    if_generation_match=if_generation_match,
                    timeout=self._calls.timeout,
                    checksum="crc32c",
                    retry=None,
                )
            else:
                blob.upload_from_string(
                    content,
                    content_type=content_type,
                    if_generation_match=if_generation_match,
                    timeout=self._calls.timeout,
                    checksum="crc32c",
                    retry=None,
                )
            return _listed(blob)

        return self._call("storage.objects.insert", name, send)

    def read(self, name: str, *, generation: int | None = None, max_bytes: int = MAX_BYTES) -> bytes | None:
        blob = self._bucket.blob(name, generation=generation)
        return self._unless(
            {HTTPStatus.NOT_FOUND}, "storage.objects.get", name, lambda: self._download(blob, max_bytes)
        )

    def _download(self, blob: Blob, max_bytes: int, unless_generation: int | None = None) -> bytes:
        target = _Beginning(max_bytes + 1)
        with suppress(_FullError):
            blob.download_to_file(
                target,
                if_generation_not_match=unless_generation,
                timeout=self._calls.timeout,
                checksum="crc32c",
                retry=None,
            )
        return target.getvalue()

    def read_newer(
        self, name: str, generation: int, *, max_bytes: int = MAX_BYTES
    ) -> tuple[bytes, int] | None:
        blob = self._bucket.blob(name)

        def fetch() -> tuple[bytes, int]:
            content = self._download(blob, max_bytes, generation)
            if blob.generation is None:  # known only after the whole download
                blob.reload(timeout=self._calls.timeout, retry=None)
            return content, int(blob.generation or 0)

        return self._unless(
            {HTTPStatus.NOT_FOUND, HTTPStatus.NOT_MODIFIED}, "storage.objects.get", name, fetch
        )

    def stat(self, name: str) -> Listed | None:
        def fetch() -> Listed:
            blob = self._bucket.blob(name)
            blob.reload(timeout=self._calls.timeout, retry=None)
            return _listed(blob)

        return self._unless({HTTPStatus.NOT_FOUND}, "storage.objects.get", name, fetch)

    def list(self, prefix: str) -> Sequence[Listed]:
        def fetch() -> list[Listed]:
            blobs = self._client.list_blobs(
                self.bucket, prefix=prefix, fields=_FIELDS, timeout=self._calls.timeout, retry=None
            )
            return [_listed(blob) for blob in blobs]

        return self._call("storage.objects.list", prefix, fetch)

    def copy(self, source: Listed, target: str, *, over: int) -> Listed | None:
        origin = self._bucket.blob(source.name, generation=source.generation)

        def rewrite() -> Listed:
            blob = self._bucket.blob(target)
            token: str | None = None
            while True:
                token, _, _ = blob.rewrite(
                    origin, token=token, if_generation_match=over, timeout=self._calls.timeout, retry=None
                )
                if token is None:
                    return _listed(blob)

        try:
            return self._call("storage.objects.rewrite", f"{source.name} to {target}", rewrite)
        except CallFailed as failure:
            if failure.http_status != HTTPStatus.PRECONDITION_FAILED:
                raise
        return self._existing(target, source.crc32c)

    def delete(self, name: str, *, generation: int | None = None) -> bool:
        def remove() -> bool:
            self._bucket.blob(name).delete(
                if_generation_match=generation, timeout=self._calls.timeout, retry=None
            )
            return True

        return self._unless({HTTPStatus.NOT_FOUND}, "storage.objects.delete", name, remove) is True

    def settings(self) -> BucketSettings:
        def fetch() -> BucketSettings:
            found = self._client.get_bucket(self.bucket, timeout=self._calls.timeout, retry=None)
            uniform = found.iam_configuration.uniform_bucket_level_access_enabled
            return BucketSettings(location=str(found.location or ""), uniform_access=bool(uniform))

        return self._call("storage.buckets.get", "", fetch)

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        def fetch() -> frozenset[str]:
            return frozenset(
                self._bucket.test_iam_permissions(list(asked), timeout=self._calls.timeout, retry=None)
            )

        return self._call("storage.buckets.testIamPermissions", "", fetch)

    def try_create(self, name: str) -> None:
        try:
            self._upload(name, b"", "text/plain", if_generation_match=_NO_GENERATION)
        except CallFailed as failure:
            if failure.http_status not in _NO_SUCH_GENERATION or "bucket does not exist" in failure.message:
                raise

    def _call(self, call: str, name: str, action: Callable[[], T]) -> T:
        return self._calls.make(call, f"gs://{self.bucket}/{name}", action)

    def _unless(self, statuses: Collection[int], call: str, name: str, action: Callable[[], T]) -> T | None:
        return self._calls.unless(statuses, call, f"gs://{self.bucket}/{name}", action)


def _listed(blob: Blob) -> Listed:
    return Listed(
        name=str(blob.name),
        size=int(blob.size or 0),
        crc32c=str(blob.crc32c or ""),
        generation=int(blob.generation or 0),
        created=blob.time_created.isoformat() if blob.time_created else "",
    )


def _crc32c(content: bytes | Path) -> str:
    checksum = google_crc32c.Checksum()
    if isinstance(content, Path):
        with content.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                checksum.update(chunk)
    else:
        checksum.update(content)
    return base64.b64encode(checksum.digest()).decode("ascii")
