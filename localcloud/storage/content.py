"""The bytes of an upload on their way in: kept on disk when large, hashed as they come, compared with what was announced."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import google_crc32c

from localcloud.errors import invalid
from localcloud.storage.refusals import wrong_checksum

CHUNK = 1 << 18
_IN_MEMORY = 1 << 20


class Source(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class Content:
    """Bytes as far as they have arrived. Not for several threads at once."""

    def __init__(self, scratch: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch))  # noqa: SIM115  closed by close()
        self._crc32c = google_crc32c.Checksum()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def append(self, data: bytes) -> None:
        """Take the next bytes."""
        self._file.write(data)
        self._crc32c.update(data)
        self._md5.update(data)
        self.size += len(data)

    def chunks(self, limit: int | None = None) -> Iterator[bytes]:
        """Read it from the start, up to `limit` bytes."""
        self._file.seek(0)
        left = self.size if limit is None else limit
        while left > 0 and (data := self._file.read(min(CHUNK, left))):
            left -= len(data)
            yield data

    def crc32c(self) -> str:
        """The CRC32C as Google writes it: big-endian, base64."""
        return base64.b64encode(self._crc32c.digest()).decode()

    def md5(self) -> str:
        """The MD5 hash in base64."""
        return base64.b64encode(self._md5.digest()).decode()

    def verify(self, announced: Mapping[str, str]) -> None:
        """Raise Google's 400 unless the hashes that were announced ("crc32c", "md5") are those of the bytes."""
        for key, kind, calculated in (
            ("md5", "MD5 hash", self.md5()),
            ("crc32c", "CRC32C", self.crc32c()),
        ):
            provided = announced.get(key)
            if provided is not None and provided != calculated:
                raise wrong_checksum(kind, provided, calculated)

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()


def announced_in(header: str | None) -> dict[str, str]:
    """Read an X-Goog-Hash header, such as `crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==`."""
    hashes = {}
    for part in (header or "").split(","):
        key, found, value = part.strip().partition("=")
        if found:
            hashes[key] = value
    return hashes


class Multipart:
    """A multipart/related body, read part by part as it arrives: first the metadata, then the content."""

    def __init__(self, source: Source, content_type: str) -> None:
        """Raise a 400 when the Content-Type names no boundary."""
        self._source = source
        boundary = _boundary(content_type)
        if not boundary:
            raise invalid("A multipart upload needs a boundary in its Content-Type.", "badContent")
        first = b"--" + boundary.encode()
        self._buffer = b""
        while (line := b"".join(self._until(b"\n"))).rstrip() != first:
            pass  # what stands before the first boundary means nothing
        # gcloud ends its lines with a line feed alone, and Google takes that.
        self._newline = b"\r\n" if line.endswith(b"\r") else b"\n"
        self._delimiter = self._newline + first
        self._buffer = self._newline + self._buffer

    def part(self) -> tuple[str, Iterator[bytes]]:
        """Return the next part: its Content-Type, and its bytes, which must be read before the next part."""
        head = b"".join(self._until(self._newline * 2))
        kind = ""
        for line in head.split(self._newline):
            key, _, value = line.partition(b":")
            if key.strip().lower() == b"content-type":
                kind = value.strip().decode("latin-1")
        return kind, self._until(self._delimiter)

    def _until(self, mark: bytes) -> Iterator[bytes]:
        """Give the bytes before the next `mark`, and go past it; a 400 when the body ends first."""
        while (at := self._buffer.find(mark)) < 0:
            data = self._source.read(CHUNK)
            if not data:
                raise invalid("The multipart upload ends before its last boundary.", "badContent")
            safe = max(0, len(self._buffer) - len(mark) + 1)
            if safe:
                yield self._buffer[:safe]
            self._buffer = self._buffer[safe:] + data
        if at:
            yield self._buffer[:at]
        self._buffer = self._buffer[at + len(mark) :]


def _boundary(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "boundary":
            return value.strip("\"'")
    return ""
