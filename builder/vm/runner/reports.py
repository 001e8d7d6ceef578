"""Sends what happens in papermill's process to the runner: events and output, without secrets."""

from __future__ import annotations

from typing import Any

from .frames import send_event, send_output
from .redaction import Redactor, Stream

MAX_ERROR = 500


class Reports:
    """Sends events and output without secrets.

    It redacts here because events are cut, and two streams alternate: later, a value could not be recognized.
    """

    def __init__(self, descriptor: int, secrets: dict[str, str]) -> None:
        self._descriptor = descriptor
        self._redactor = Redactor(secrets)
        self._streams = {name: Stream(self._redactor) for name in ("stdout", "stderr")}

    def output(self, text: str, name: str = "") -> None:
        """Send output; `name` is its stream, if it has one."""
        data = text.encode("utf-8", "replace")
        stream = self._streams.get(name)
        if stream is None:
            send_output(self._descriptor, self._redactor.data(data))
            return
        made = stream.feed(data)
        # A complete line is redacted alone, and need not wait for the rest of a value.
        send_output(self._descriptor, made + stream.end() if b"\n" in stream.held else made)

    def end_output(self) -> None:
        """Send the output that the streams hold back."""
        for stream in self._streams.values():
            if stream.held:
                send_output(self._descriptor, stream.end())

    def __call__(self, **event: Any) -> None:
        """Send one event."""
        cut = {
            key: self._redactor.text(value)[:MAX_ERROR] if isinstance(value, str) else value
            for key, value in event.items()
        }
        send_event(self._descriptor, **cut)
