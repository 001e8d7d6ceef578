"""The last beat is not late: while a short upload runs, no other beat makes it wait."""

from __future__ import annotations

import json
import time

from builder.vm.runner.heartbeat import SPACING_SECONDS, Heartbeat


def test_no_beat_before_the_last_one_is_held_back_for_long() -> None:
    beats: list[tuple[float, str]] = []
    heartbeat = Heartbeat(lambda raw: beats.append((time.monotonic(), json.loads(raw)["phase"])), {})
    heartbeat.seconds = SPACING_SECONDS
    heartbeat.start()
    while not beats:
        time.sleep(0.01)
    heartbeat.phase = "upload"
    heartbeat.hold_back()
    time.sleep(SPACING_SECONDS + 0.2)
    ended = time.monotonic()
    heartbeat.finish()
    assert [phase for _, phase in beats] == ["boot", "done"]
    assert beats[-1][0] - ended < SPACING_SECONDS / 2
