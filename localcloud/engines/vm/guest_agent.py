"""The guest agent's part of a boot: its log lines, and the relay of a startup script's output.

It behaves as google_metadata_script_runner of the guest agent before 2025 does, wording and traps included: a line that
does not fit into its 64 KiB buffer ends the relay and closes the pipe, so that the script's next write fails; the end
of the script is only seen when nobody holds the pipe any more.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_BUFFER = 65536
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STARTING = "Starting startup scripts (version 20250327.01-g1)."
NOTHING_TO_RUN = "No startup scripts to run."
FOUND = "Found startup-script in metadata."
FINISHED = "Finished running startup scripts."
TOO_LONG = 'error while communicating with "startup-script" script: bufio.Scanner: token too long'


class Console:
    """Writes log lines to the serial port as the system's log daemon does."""

    def __init__(self, write: Callable[[bytes], None], host: str) -> None:
        self._write = write
        self._host = host
        self.pid = 1

    def log(self, *messages: bytes | str) -> None:
        """One line per message, all with the time of now (UTC)."""
        now = time.gmtime()
        clock = f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {time.strftime('%H:%M:%S', now)}"
        head = f"{clock} {self._host} google_metadata_script_runner[{self.pid}]: ".encode()
        lines = (message.encode() if isinstance(message, str) else message for message in messages)
        self._write(b"".join(head + line + b"\r\n" for line in lines))


class LineScanner:
    """Cuts a stream into lines; stops for good at one that does not fit into the buffer."""

    def __init__(self) -> None:
        self._rest = b""
        self.too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines, without their ends (a carriage return before the newline belongs to it)."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        lines: list[bytes] = []
        for line in complete:
            if len(line) >= LINE_BUFFER:
                self.too_long = True
                return lines
            lines.append(line.removesuffix(b"\r"))
        self.too_long = len(self._rest) >= LINE_BUFFER
        return lines

    def finish(self) -> list[bytes]:
        """The text after the last newline."""
        return [self._rest.removesuffix(b"\r")] if self._rest else []


def relay(pipe: int, console: Console) -> None:
    """Log what comes out of `pipe` until its end, or until a line is too long; closes it."""
    scanner = LineScanner()
    try:
        while data := os.read(pipe, LINE_BUFFER):
            lines = scanner.feed(data)
            if lines:
                console.log(*(b"startup-script: " + line for line in lines))
            if scanner.too_long:
                console.log(TOO_LONG)
                return
        console.log(*(b"startup-script: " + line for line in scanner.finish()))
    finally:
        os.close(pipe)


def closing_lines(code: int) -> list[str]:
    """The log lines for a script that has ended with `code` (-N: by signal N)."""
    if code == 0:
        return ["startup-script exit status 0", FINISHED]
    how = f"exit status {code}" if code > 0 else f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return [f'Script "startup-script" failed with error: {how}', FINISHED]
