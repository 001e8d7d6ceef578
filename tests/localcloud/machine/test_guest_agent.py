"""The relay of a startup script's output has the real one's edges."""

from __future__ import annotations

import os
import re
import threading

import pytest

from localcloud.engines.vm.guest_agent import LINE_BUFFER, Console, LineScanner, closing_lines, relay
from tests.patience import PATIENCE


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_lines_are_cut_the_same_however_they_arrive(size: int) -> None:
    data = b"one\n\ntwo\r\nthree\rstill three\nrest"
    scanner = LineScanner()
    lines = [line for at in range(0, len(data), size) for line in scanner.feed(data[at : at + size])]
    assert lines + scanner.finish() == [b"one", b"", b"two", b"three\rstill three", b"rest"]
    assert scanner.finish() == [b"rest"]


@pytest.mark.parametrize(("length", "too_long"), [(LINE_BUFFER - 1, False), (LINE_BUFFER, True)])
@pytest.mark.parametrize("size", [1000, LINE_BUFFER, 10 * LINE_BUFFER])
def test_line_must_fit_into_the_buffer_with_its_end(length: int, too_long: bool, size: int) -> None:  # noqa: FBT001
    data = b"before\n" + b"x" * length + b"\nafter\n"
    scanner = LineScanner()
    lines: list[bytes] = []
    for at in range(0, len(data), size):
        lines += scanner.feed(data[at : at + size])
        if scanner.too_long:
            break
    assert scanner.too_long is too_long
    assert lines == ([b"before"] if too_long else [b"before", b"x" * length, b"after"])


def test_unended_line_that_fills_the_buffer_is_too_long() -> None:
    scanner = LineScanner()
    assert scanner.feed(b"x" * LINE_BUFFER) == []
    assert scanner.too_long


def test_log_line_looks_like_the_system_logs() -> None:
    written: list[bytes] = []
    console = Console(written.append, "nb-1")
    console.pid = 812
    console.log("hello", b"\xff")
    assert len(written) == 1
    head = rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d nb-1 google_metadata_script_runner\[812\]: "
    assert re.fullmatch(head + b"hello\r\n" + head + b"\xff\r\n", written[0])


def test_relay_closes_the_pipe_at_a_line_that_is_too_long() -> None:
    written: list[bytes] = []
    pipe, end = os.pipe()
    thread = threading.Thread(target=relay, args=(pipe, Console(written.append, "h")))
    thread.start()
    os.write(end, b"short\n")
    with os.fdopen(end, "wb", buffering=0) as file:
        file.write(b"x" * LINE_BUFFER)
        thread.join(PATIENCE)
        with pytest.raises(BrokenPipeError):
            file.write(b"more\n")
    text = b"".join(written)
    assert b"startup-script: short\r\n" in text
    assert text.endswith(
        b'error while communicating with "startup-script" script: bufio.Scanner: token too long\r\n'
    )
    assert b"xxx" not in text


@pytest.mark.parametrize(
    ("code", "line"),
    [
        pytest.param(0, "startup-script exit status 0", id="exit status 0"),
        pytest.param(3, 'Script "startup-script" failed with error: exit status 3', id="exit status 3"),
        pytest.param(-9, 'Script "startup-script" failed with error: signal: killed', id="SIGKILL"),
        pytest.param(-13, 'Script "startup-script" failed with error: signal: broken pipe', id="SIGPIPE"),
        pytest.param(-15, 'Script "startup-script" failed with error: signal: terminated', id="SIGTERM"),
    ],
)
def test_the_end_of_the_script_is_printed_in_the_agents_words(code: int, line: str) -> None:
    assert closing_lines(code) == [line, "Finished running startup scripts."]
