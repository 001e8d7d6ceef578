"""The bytes of an upload on their way in: in a scratch file, hashed as they arrive, compared with announced hashes."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import google_crc32c

from localcloud.core.errors import invalid
from localcloud.core.service import Json
from localcloud.services.storage.refusals import wrong_checksum

_CHUNK = 1 << 18


class Source(Protocol):
    """Anything that bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class _Hashes:
    """Size and checksums of bytes, as an Object resource has them."""

    def __init__(self) -> None:
        self._crc32c = google_crc32c.Checksum()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def update(self, data: bytes) -> None:
        self._crc32c.update(data)
        self._md5.update(data)
        self.size += len(data)

    def fields(self) -> Json:
        return {
            "size": str(self.size),
            "crc32c": base64.b64encode(self._crc32c.digest()).decode(),
            "md5Hash": base64.b64encode(self._md5.digest()).decode(),
        }


class Content:
    """The bytes received so far. No file is open between calls. Not for several threads at once."""

    def __init__(self, scratch: Path) -> None:
        handle, path = tempfile.mkstemp(dir=scratch)
        os.close(handle)
        self.path = Path(path)
        self._hashes = _Hashes()

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._hashes.size

    def append(self, data: Iterable[bytes]) -> None:
        """Add bytes. When reading them fails, those before the failure stay."""
        with self.path.open("ab") as file:
            for chunk in data:
                file.write(chunk)
                self._hashes.update(chunk)

    def fields(self) -> Json:
        """Return `size`, `crc32c` and `md5Hash` of an Object resource."""
        return self._hashes.fields()

    def verify(self, announced: Mapping[str, str]) -> None:
        """Raise Google's 400 unless the announced hashes ("crc32c", "md5") are those of the bytes."""
        own = self.fields()
        for key, field, kind in (("md5", "md5Hash", "MD5 hash"), ("crc32c", "crc32c", "CRC32C")):
            if announced.get(key, own[field]) != own[field]:
                raise wrong_checksum(kind, announced[key], own[field])

    def spoil(self) -> None:
        """Change the first byte in the file, or add one to an empty file; size and hashes stay as they were."""
        with self.path.open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 0xFF]) if first else b"\0")

    def truncate(self, size: int) -> Json:
        """Keep the first bytes in the file and return their fields; the hashes here stay as they were."""
        os.truncate(self.path, min(size, self.size))
        return hashes_of(self.path)

    def close(self) -> None:
        """Remove the file, unless it has been moved."""
        self.path.unlink(missing_ok=True)


def chunks(source: Source) -> Iterator[bytes]:
    """Yield what can be read, in pieces of bounded size."""
    while data := source.read(_CHUNK):
        yield data


def part_of(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` up to `stop`."""
    file.seek(start)
    while start < stop and (data := file.read(min(_CHUNK, stop - start))):
        start += len(data)
        yield data


def hashes_of(path: Path) -> Json:
    """Return `size`, `crc32c` and `md5Hash` of a file."""
    hashes = _Hashes()
    with path.open("rb") as file:
        for data in chunks(file):
            hashes.update(data)
    return hashes.fields()


def announced_in(header: str | None) -> dict[str, str]:
    """Return the hashes in an X-Goog-Hash header, such as `crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==`."""
    hashes = {}
    for part in (header or "").split(","):
        key, found, value = part.strip().partition("=")
        if found:
            hashes[key] = value
    return hashes


class Multipart:
    """A multipart/related body, read part by part as it arrives: first the metadata, then the content."""

    def __init__(self, source: Source, content_type: str) -> None:
        """Read up to the first part; raises a 400 if the Content-Type names no boundary."""
        self._source = source
        boundary = _boundary(content_type)
        if not boundary:
            raise invalid("A multipart upload needs a boundary in its Content-Type.", "badContent")
        first = b"--" + boundary.encode()
        self._buffer = b""
        while (line := b"".join(self._until(b"\n"))).rstrip() != first:
            pass  # bytes before the first boundary have no meaning
        # gcloud ends its lines with a line feed alone, and Google accepts that.
        self._newline = b"\r\n" if line.endswith(b"\r") else b"\n"
        self._delimiter = self._newline + first
        self._buffer = self._newline + self._buffer

    def part(self) -> tuple[str, Iterator[bytes]]:
        """Return the next part: its Content-Type and its bytes. Read the bytes before you ask for another part."""
        head = b"".join(self._until(self._newline * 2))
        kind = ""
        for line in head.split(self._newline):
            key, _, value = line.partition(b":")
            if key.strip().lower() == b"content-type":
                kind = value.strip().decode("latin-1")
        return kind, self._until(self._delimiter)

    def _until(self, mark: bytes) -> Iterator[bytes]:
        """Yield the bytes before the next `mark` and go past it; raises a 400 if the body ends first."""
        while (at := self._buffer.find(mark)) < 0:
            data = self._source.read(_CHUNK)
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
