"""The pipe between papermill's process and the runner: events and output in one stream, in their order.

A notebook cannot write to it: the kernel does not inherit the descriptor.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, Literal

# papermill's tag of the cell with the given parameters.
INJECTED = "injected-parameters"
# What papermill does to have that cell: with parameters, it replaces a code cell of the input, or adds one.
Injected = Literal["", "added", "replaced"]
HEADER = struct.Struct("!cI")
EVENT = b"E"
OUTPUT = b"O"


def send_event(descriptor: int, **event: Any) -> None:
    """Write one event."""
    _send(descriptor, EVENT, json.dumps(event).encode())


def send_output(descriptor: int, data: bytes) -> None:
    """Write a piece of the notebook's output."""
    _send(descriptor, OUTPUT, data)


def _send(descriptor: int, kind: bytes, payload: bytes) -> None:
    view = memoryview(HEADER.pack(kind, len(payload)) + payload)
    while view:
        view = view[os.write(descriptor, view) :]


class Reader:
    """Splits the stream into its frames. Output is passed on as it arrives, before its frame is complete."""

    def __init__(self) -> None:
        self._kind = b""
        self._left = 0
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | bytes]:
        """Yield each whole event as a dict and each piece of output as bytes."""
        view = memoryview(data)
        while view:
            if not self._kind:
                taken = view[: HEADER.size - len(self._held)]
                self._held += taken
                view = view[len(taken) :]
                if len(self._held) == HEADER.size:
                    self._kind, self._left = HEADER.unpack(self._held)
                    self._held.clear()
                continue
            taken = view[: self._left]
            view = view[len(taken) :]
            self._left -= len(taken)
            if self._kind == OUTPUT:
                yield bytes(taken)
            else:
                self._held += taken
            if not self._left:
                if self._kind == EVENT:
                    yield json.loads(self._held)
                    self._held.clear()
                self._kind = b""
