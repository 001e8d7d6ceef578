"""The one loop that waits: deadlines, intervals and repeated calls, all on a clock that does not really pass."""

from __future__ import annotations

import pytest

from builder.act.waiting import Cancellation, RealClock, WaitTimeout, poll, retry_transient
from builder.errors import Interrupted
from builder.ports import CallFailed


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def failure(*, transient: bool) -> CallFailed:
    return CallFailed(call="c", resource="r", code="x", message="m", transient=transient)


def test_poll_returns_the_first_result_that_is_not_none() -> None:
    clock, answers = FakeClock(), iter([None, None, "there"])
    assert poll(lambda: next(answers), what="it", interval=2, deadline=60, clock=clock) == "there"
    assert clock.slept == [2, 2]


def test_poll_gives_up_at_its_deadline_and_says_what_for() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout, match="the VM: not within 5 s"):
        poll(lambda: None, what="the VM", interval=2, deadline=5, clock=clock)
    assert clock.time == 5


def test_poll_looks_at_least_once() -> None:
    assert poll(lambda: "there", what="it", interval=1, deadline=0, clock=FakeClock()) == "there"


def test_poll_accepts_a_false_result() -> None:
    assert poll(lambda: False, what="it", interval=1, deadline=1, clock=FakeClock()) is False


def test_what_a_check_raises_ends_the_wait() -> None:
    def check() -> None:
        raise failure(transient=True)

    with pytest.raises(CallFailed):
        poll(check, what="it", interval=1, deadline=10, clock=FakeClock())


def test_transient_failures_are_repeated_until_the_call_succeeds() -> None:
    clock, calls = FakeClock(), []

    def call() -> str:
        calls.append(1)
        if len(calls) < 4:
            raise failure(transient=True)
        return "done"

    assert retry_transient(call, budget=120, clock=clock) == "done"
    assert len(calls) == 4
    assert clock.slept == sorted(clock.slept)


def test_a_lasting_failure_is_not_repeated() -> None:
    clock = FakeClock()

    def call() -> None:
        raise failure(transient=False)

    with pytest.raises(CallFailed):
        retry_transient(call, budget=120, clock=clock)
    assert clock.slept == []


def test_repeating_never_outlasts_its_budget() -> None:
    clock = FakeClock()

    def call() -> None:
        clock.time += 1
        raise failure(transient=True)

    with pytest.raises(CallFailed):
        retry_transient(call, budget=30, clock=clock)
    assert 15 < clock.time <= 31


def test_a_cancellation_ends_a_sleep_at_once_with_the_signal() -> None:
    cancellation = Cancellation()
    cancellation.cancel(15)
    with pytest.raises(Interrupted) as caught:
        RealClock(cancellation).sleep(3600)
    assert caught.value.exit_code == 143
