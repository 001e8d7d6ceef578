"""Cloud Storage through google-cloud-storage: the ObjectStore of one bucket.

The library's own retries are off: our one loop repeats calls, so that budgets and cancellation hold everywhere. After a
lost reply a repeated create meets its own object as a 412; equal bytes then mean success (docs/facts.md 2).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import google_crc32c
from google.cloud.storage import Blob, Client

from builder.act.waiting import retry_transient
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.failures import google_call
from builder.model import Listed
from builder.ports import BucketSettings, CallFailed, Clock

T = TypeVar("T")

_NOT_MODIFIED = 304
_NOT_FOUND = 404
_PRECONDITION_FAILED = 412
_FIELDS = "items(name,size,crc32c,generation),nextPageToken"

# For traces, which are off, the library would look at each bucket in the background: a call that the builder's account may
# not make, repeated for two minutes by a loop that is not ours (docs/facts.md 2).
os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"


class GoogleObjectStore:
    """See ports.ObjectStore and ports.Bucket."""

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
        self._timeout = timeout
        self._budget = budget
        self._clock = clock
        self._client = Client(
            project=access.project,
            credentials=access.credentials,
            client_options={"api_endpoint": access.endpoint("storage")},
        )
        self._bucket = self._client.bucket(bucket)

    def close(self) -> None:
        """Close the connections; a process that ends need not."""
        self._client.close()

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        """See ports.ObjectStore."""
        return self._upload_over(name, content, content_type, generation=0)

    def swap(self, name: str, content: bytes, *, generation: int, content_type: str) -> Listed | None:
        """See ports.ObjectStore."""
        return self._upload_over(name, content, content_type, generation=generation)

    def _upload_over(
        self, name: str, content: bytes | Path, content_type: str, *, generation: int
    ) -> Listed | None:
        """Upload over this generation (0: none); None if another one with other bytes stands there."""
        try:
            return self._upload(name, content, content_type, if_generation_match=generation)
        except CallFailed as failure:
            if failure.http_status != _PRECONDITION_FAILED:
                raise
        return self._standing(name, _crc32c(content))

    def _standing(self, name: str, crc32c: str) -> Listed | None:
        """What stands there, if it is of equal bytes: a reply of ours was lost."""
        standing = self.stat(name)
        return standing if standing and standing.crc32c == crc32c else None

    def replace(self, name: str, content: bytes, *, content_type: str) -> Listed:
        """See ports.ObjectStore."""
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
                    timeout=self._timeout,
                    checksum="crc32c",
                    retry=None,
                )
            else:
                blob.upload_from_string(
                    content,
                    content_type=content_type,
                    if_generation_match=if_generation_match,
                    timeout=self._timeout,
                    checksum="crc32c",
                    retry=None,
                )
            return _listed(blob)

        return self._call("storage.objects.insert", name, send)

    def read(self, name: str, *, generation: int | None = None) -> bytes | None:
        """See ports.ObjectStore."""
        blob = self._bucket.blob(name, generation=generation)
        return self._unless(
            {_NOT_FOUND},
            "storage.objects.get",
            name,
            lambda: bytes(blob.download_as_bytes(timeout=self._timeout, checksum="crc32c", retry=None)),
        )

    def read_newer(self, name: str, generation: int) -> tuple[bytes, int] | None:
        """See ports.ObjectStore."""
        blob = self._bucket.blob(name)

        def fetch() -> tuple[bytes, int]:
            content = blob.download_as_bytes(
                if_generation_not_match=generation, timeout=self._timeout, checksum="crc32c", retry=None
            )
            return bytes(content), int(blob.generation or 0)

        return self._unless({_NOT_FOUND, _NOT_MODIFIED}, "storage.objects.get", name, fetch)

    def stat(self, name: str) -> Listed | None:
        """See ports.ObjectStore."""

        def fetch() -> Listed:
            blob = self._bucket.blob(name)
            blob.reload(timeout=self._timeout, retry=None)
            return _listed(blob)

        return self._unless({_NOT_FOUND}, "storage.objects.get", name, fetch)

    def list(self, prefix: str) -> Sequence[Listed]:
        """See ports.ObjectStore."""

        def fetch() -> list[Listed]:
            blobs = self._client.list_blobs(
                self.bucket, prefix=prefix, fields=_FIELDS, timeout=self._timeout, retry=None
            )
            return [_listed(blob) for blob in blobs]

        return self._call("storage.objects.list", prefix, fetch)

    def copy(self, source: Listed, target: str, *, over: int) -> Listed | None:
        """See ports.ObjectStore."""
        origin = self._bucket.blob(source.name, generation=source.generation)

        def rewrite() -> Listed:
            blob = self._bucket.blob(target)
            token: str | None = None
            while True:
                token, _, _ = blob.rewrite(
                    origin, token=token, if_generation_match=over, timeout=self._timeout, retry=None
                )
                if token is None:
                    return _listed(blob)

        try:
            return self._call("storage.objects.rewrite", f"{source.name} to {target}", rewrite)
        except CallFailed as failure:
            if failure.http_status != _PRECONDITION_FAILED:
                raise
        return self._standing(target, source.crc32c)

    def delete(self, name: str, *, generation: int | None = None) -> bool:
        """See ports.ObjectStore."""

        def remove() -> bool:
            self._bucket.blob(name).delete(if_generation_match=generation, timeout=self._timeout, retry=None)
            return True

        return self._unless({_NOT_FOUND}, "storage.objects.delete", name, remove) is True

    def settings(self) -> BucketSettings:
        """See ports.Bucket."""

        def fetch() -> BucketSettings:
            found = self._client.get_bucket(self.bucket, timeout=self._timeout, retry=None)
            uniform = found.iam_configuration.uniform_bucket_level_access_enabled
            return BucketSettings(location=str(found.location or ""), uniform_access=bool(uniform))

        return self._call("storage.buckets.get", "", fetch)

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """See ports.Bucket."""

        def fetch() -> frozenset[str]:
            return frozenset(
                self._bucket.test_iam_permissions(list(asked), timeout=self._timeout, retry=None)
            )

        return self._call("storage.buckets.testIamPermissions", "", fetch)

    def _call(self, call: str, name: str, action: Callable[[], T]) -> T:
        def once() -> T:
            with google_call(call, f"gs://{self.bucket}/{name}"):
                return action()

        return retry_transient(once, budget=self._budget, clock=self._clock)

    def _unless(self, expected: set[int], call: str, name: str, action: Callable[[], T]) -> T | None:
        """The call's result, or None where it is answered with one of these statuses."""
        try:
            return self._call(call, name, action)
        except CallFailed as failure:
            # A missing bucket is a 404 too, and no answer to a question about an object.
            if failure.http_status in expected and "bucket does not exist" not in failure.message:
                return None
            raise


def _listed(blob: Blob) -> Listed:
    return Listed(
        name=str(blob.name),
        size=int(blob.size or 0),
        crc32c=str(blob.crc32c or ""),
        generation=int(blob.generation or 0),
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
