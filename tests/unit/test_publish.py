"""A day's folder with two runs at it, in every order of their calls, and killed after each.

One of them is there whole.
"""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import google_crc32c
import pytest

from builder.model import Listed, Verdict
from builder.ports import MAX_BYTES, CallFailed
from tests.publishing import BEFORE, GREEN, MAX_CALLS, PAIRS, RED, Day, Publishing, a_run_killed, two_runs


class Bucket:
    """A bucket in memory, with Cloud Storage's generations; tests/integration has the same tests on the real client."""

    bucket = "b"

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, Listed]] = {}
        self._generations = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        assert isinstance(content, bytes)
        return self.swap(name, content, generation=0, content_type=content_type)

    def replace(self, name: str, content: bytes, *, content_type: str) -> Listed:
        assert content_type
        crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        with self._lock:
            made = Listed(name, len(content), crc32c, next(self._generations))
            self._objects[name] = content, made
        return made

    def swap(self, name: str, content: bytes, *, generation: int, content_type: str) -> Listed | None:
        existing = self.stat(name)
        if (existing.generation if existing else 0) == generation:
            return self.replace(name, content, content_type=content_type)
        return existing if existing and self._objects[name][0] == content else None

    def read(self, name: str, *, generation: int | None = None, max_bytes: int = MAX_BYTES) -> bytes | None:  # noqa: ARG002
        content, item = self._objects.get(name, (None, None))
        return content if item and generation in {None, item.generation} else None

    def read_newer(
        self,
        name: str,
        generation: int,
        *,
        max_bytes: int = MAX_BYTES,  # noqa: ARG002
    ) -> tuple[bytes, int] | None:
        found = self._objects.get(name)
        return (found[0], found[1].generation) if found and found[1].generation != generation else None

    def try_create(self, name: str) -> None:
        raise AssertionError(name)

    def stat(self, name: str) -> Listed | None:
        found = self._objects.get(name)
        return found[1] if found else None

    def list(self, prefix: str) -> Sequence[Listed]:
        return [item for name, (_, item) in sorted(self._objects.items()) if name.startswith(prefix)]

    def copy(self, source: Listed, target: str, *, over: int) -> Listed | None:
        content = self.read(source.name, generation=source.generation)
        assert content is not None
        return self.swap(target, content, generation=over, content_type="application/octet-stream")

    def delete(self, name: str, *, generation: int | None = None) -> bool:
        existing = self.stat(name)
        if existing is None:
            return False
        if generation not in {None, existing.generation}:
            raise CallFailed(call="delete", resource=name, code="x", message="changed", http_status=412)
        del self._objects[name]
        return True


@pytest.mark.always(3)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("pair", PAIRS)
def test_of_two_runs_of_a_day_one_is_there_whole(pair: str, before: str) -> None:
    for first in range(MAX_CALLS):
        for second in range(MAX_CALLS):
            first_ended, second_ended = two_runs(Day(Bucket()), pair, before, first, second)
            if second_ended:
                break
        assert second_ended, "one publication has fewer calls than that"
        if first_ended:
            break
    assert first_ended


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("verdict", [GREEN, RED], ids=["green", "red"])
def test_after_a_crash_at_any_call_the_next_run_is_there_whole(verdict: Verdict, before: str) -> None:
    crashes = [a_run_killed(Day(Bucket()), verdict, before, calls) for calls in range(1, MAX_CALLS)]
    assert not crashes[-1], "one publication has fewer calls than that"
    assert sum(crashes) >= 3


def test_of_runs_that_crash_one_after_the_other_nothing_is_left() -> None:
    for first, second in itertools.product(range(1, MAX_CALLS), repeat=2):
        day = Day(Bucket())
        day.publish("old", GREEN)
        day.killed("one", GREEN, first)
        day.killed("two", GREEN, second)
        assert day.publish("red", RED) == "own"
        assert day.publish("next", GREEN) == "day"
        assert day.whole() == "next"


def test_a_run_that_wakes_in_a_day_that_two_others_took_touches_nothing_of_theirs() -> None:
    for first, second, third in itertools.product(range(3, 12, 2), repeat=3):
        day = Day(Bucket())
        runs = [Publishing(day, run, GREEN) for run in ("one", "two", "three")]
        for run, calls in zip(runs, (first, second, third), strict=True):
            run.advance(calls)
        for run in runs:
            run.advance()
        assert day.whole() in {run.run for run in runs if run.where == "day"}
