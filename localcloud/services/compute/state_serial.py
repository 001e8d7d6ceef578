"""Serial port 1 of a VM: the last MiB of the output, with offsets from its start."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

CAPACITY = 1 << 20


@dataclass(frozen=True)
class Output:
    """A stretch of serial output: byte offset of its first byte, its text, and the offset to ask for next."""

    start: int
    contents: str
    next: int


class SerialPort:
    """A ring of the last MiB. Not thread-safe; its owner holds a lock."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end = 0

    def write(self, data: bytes) -> None:
        """Append bytes, dropping the oldest beyond one MiB."""
        self._kept += data
        self._end += len(data)
        if len(self._kept) > CAPACITY:
            del self._kept[: len(self._kept) - CAPACITY]

    def read(self, start: int) -> Output:
        """Return the kept output from byte `start` on; a negative start counts from the end.

        The returned start is later than `start` if the ring has dropped bytes in between.
        """
        oldest = self._end - len(self._kept)
        first = self._end + start if start < 0 else start
        first = min(max(first, oldest), self._end)
        # An incomplete character is left for the next read.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        contents = decoder.decode(bytes(self._kept[first - oldest :]))
        return Output(first, contents, self._end - len(decoder.getstate()[0]))
