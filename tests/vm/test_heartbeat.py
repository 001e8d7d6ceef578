"""The last beat is not late: while a short upload runs, no other beat makes it wait."""

from __future__ import annotations

import json
import time

import pytest

from builder.vm.runner import heartbeat as heartbeat_module
from builder.vm.runner.heartbeat import SPACING_SECONDS, HeartbeatWriter


class Pauses:
    """The process's clock, which notes how long it was asked to sleep, and does not sleep."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    monotonic = staticmethod(time.monotonic)

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_no_beat_before_the_last_one_is_held_back_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, beats = Pauses(), list[str]()
    monkeypatch.setattr(heartbeat_module, "time", pauses)

    def write(raw: bytes) -> None:
        beats.append(json.loads(raw)["phase"])
        if len(beats) == 1:
            heartbeat.phase = "upload"
            heartbeat.hold_back()

    heartbeat = HeartbeatWriter(write, "", 1)
    heartbeat.seconds = SPACING_SECONDS
    heartbeat.start()
    time.sleep(SPACING_SECONDS + 0.3)
    heartbeat.finish()
    assert beats == ["boot", "done"]
    assert pauses.seconds[-1] < SPACING_SECONDS / 2
