"""The kernel's table of connections, which can miss a line while others come and go."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from localcloud.core import peers


class MissingLine:
    """A table that has no line in its first reads."""

    def __init__(self, reads: int) -> None:
        self.left = reads

    def read_text(self, encoding: str) -> str:
        self.left -= 1
        return "" if self.left >= 0 else Path("/proc/net/tcp").read_text(encoding)


@pytest.mark.parametrize(("reads", "ours"), [(0, True), (2, True), (3, False)])
def test_a_line_that_was_missed_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, reads: int, *, ours: bool
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        monkeypatch.setattr(peers, "_TABLE", MissingLine(reads))
        assert peers.is_ours(client.getsockname(), server.getsockname()) is ours
