"""The one loop that waits: deadlines, intervals and repeated calls, all on a clock that does not really pass."""

from __future__ import annotations

import itertools
import signal
import threading
import time

import pytest

from builder.errors import BuilderError, Interrupted
from builder.ports import CallFailed
from builder.waiting import Cancellation, RealClock, WaitTimeout, poll, retry_transient, run_in_background
from tests.patience import PATIENCE

_START = 1000.0  # a process's clock has any value at the start of a wait


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = _START
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def failure(*, transient: bool, retry_after: float = 0.0) -> CallFailed:
    made = CallFailed(call="c", resource="r", code="x", message="m", transient=transient)
    made.retry_after = retry_after
    return made


def test_poll_returns_the_first_result_that_is_not_none() -> None:
    clock, answers = FakeClock(), iter([None, None, "there"])
    assert poll(lambda: next(answers), what="it", interval=2, deadline=60, clock=clock) == "there"
    assert clock.slept == [2, 2]


def test_poll_gives_up_at_its_deadline_and_says_what_for() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout, match="the VM: not within 5 s") as caught:
        poll(lambda: None, what="the VM", interval=2, deadline=5, clock=clock)
    assert (caught.value.what, caught.value.seconds) == ("the VM", 5)
    assert clock.time == _START + 5


def test_a_poll_that_begins_with_short_intervals_is_never_late_by_more_than_a_share_of_its_time() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeout):
        poll(lambda: None, what="it", interval=1, first=0.25, deadline=60, clock=clock)
    assert clock.slept[:20] == [0.25] * 20
    assert clock.slept[-20:-1] == [1] * 19
    assert all(before <= after for before, after in itertools.pairwise(clock.slept[:-1]))
    assert len(clock.slept) < 60 / 1 + 40  # few more calls than one a second
    assert clock.time == pytest.approx(_START + 60)


def test_poll_looks_at_least_once() -> None:
    assert poll(lambda: "there", what="it", interval=1, deadline=0, clock=FakeClock()) == "there"


def test_poll_accepts_a_false_result() -> None:
    assert poll(lambda: False, what="it", interval=1, deadline=1, clock=FakeClock()) is False


def test_an_error_of_the_check_ends_the_wait() -> None:
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

    with pytest.raises(CallFailed) as caught:
        retry_transient(call, budget=120, clock=clock)
    assert clock.slept == []
    assert not caught.value.repeated


def test_repeating_never_outlasts_its_budget() -> None:
    clock = FakeClock()

    def call() -> None:
        clock.time += 1
        raise failure(transient=True)

    with pytest.raises(CallFailed):
        retry_transient(call, budget=30, clock=clock)
    assert 15 < clock.time - _START <= 31


def test_pauses_begin_with_half_a_second_and_grow_to_twenty() -> None:
    clock = FakeClock()

    def call() -> None:
        raise failure(transient=True)

    with pytest.raises(CallFailed):
        retry_transient(call, budget=1000, clock=clock)
    assert 0.5 <= clock.slept[0] <= 1
    assert max(clock.slept) == 20


@pytest.mark.parametrize(("asked", "calls"), [(120.0, 2), (121.0, 1)])
def test_a_repetition_that_begins_within_the_budget_is_made(asked: float, calls: int) -> None:
    made = []

    def call() -> None:
        made.append(1)
        raise failure(transient=True, retry_after=asked)

    with pytest.raises(CallFailed) as caught:
        retry_transient(call, budget=120, clock=FakeClock())
    assert len(made) == calls
    assert caught.value.repeated == (calls == 2)


def test_an_error_that_is_no_failed_call_is_not_repeated() -> None:
    clock = FakeClock()

    def call() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        retry_transient(call, budget=120, clock=clock)
    assert clock.slept == []


def test_a_pause_is_as_long_as_the_answer_asks_for() -> None:
    clock, answers = FakeClock(), iter([7.0, 0.0])

    def call() -> str:
        asked = next(answers, None)
        if asked is None:
            return "done"
        raise failure(transient=True, retry_after=asked)

    assert retry_transient(call, budget=120, clock=clock) == "done"
    assert clock.slept[0] == 7
    assert clock.slept[1] < 7


@pytest.mark.parametrize(("budget", "lines"), [(20, 0), (120, 1)])
def test_a_long_repetition_is_told_once(budget: float, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    def call() -> None:
        raise failure(transient=True)

    with pytest.raises(CallFailed) as caught:
        retry_transient(call, budget=budget, clock=FakeClock())
    assert caught.value.repeated
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == lines
    assert all(line.startswith("waiting, for 120 s at the most: ") for line in told)


@pytest.mark.parametrize(("asked", "lines"), [(30.0, 0), (30.5, 1)])
def test_a_repetition_is_told_after_more_than_thirty_seconds_with_its_failure(
    asked: float, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    def call() -> None:
        raise failure(transient=True, retry_after=asked)

    with pytest.raises(CallFailed) as caught:
        retry_transient(call, budget=2 * asked, clock=FakeClock())
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"waiting, for {2 * asked:.0f} s at the most: {caught.value}"] * lines


def test_bytes_that_never_fit_their_checksum_are_read_four_times() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise CallFailed(call="c", resource="r", code="checksumMismatch", message="m", transient=True)

    with pytest.raises(CallFailed):
        retry_transient(call, budget=10_000, clock=FakeClock())
    assert len(calls) == 4


def test_a_cancellation_ends_a_sleep_at_once_with_the_signal() -> None:
    cancellation = Cancellation()
    cancellation.cancel(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        RealClock(cancellation).sleep(3600)
    assert caught.value.exit_code == 143


def test_the_first_cause_of_a_cancellation_counts_but_a_signal_goes_before_an_error() -> None:
    first, second = BuilderError("first", reason="first"), BuilderError("second", reason="second")
    cancellation = Cancellation()
    causes = []
    for cause in (first, second, signal.SIGTERM, signal.SIGINT, second):
        cancellation.cancel(cause)
        with pytest.raises(Interrupted) as caught:
            cancellation.check()
        causes.append(caught.value.cause)
    assert causes == [first, first, signal.SIGTERM, signal.SIGTERM, signal.SIGTERM]
    assert (Interrupted(first).exit_code, Interrupted(first).error) == (first.exit_code, first)
    assert (Interrupted(signal.SIGTERM).exit_code, Interrupted(signal.SIGTERM).error) == (143, None)


def test_without_a_cancellation_a_check_and_a_sleep_raise_nothing() -> None:
    cancellation = Cancellation()
    cancellation.check()
    RealClock(cancellation).sleep(0)
    assert not cancellation.wait(0)


def test_the_real_clock_is_the_process_s_own() -> None:
    before = time.monotonic()
    assert before <= RealClock(Cancellation()).monotonic() <= time.monotonic()


def test_work_in_the_background_has_its_own_thread_and_its_result_comes_back() -> None:
    assert run_in_background(threading.get_ident, Cancellation()) != threading.get_ident()


def test_the_error_of_work_in_the_background_is_raised() -> None:
    def work() -> None:
        raise LookupError("no rides")

    with pytest.raises(LookupError, match="no rides"):
        run_in_background(work, Cancellation())


def test_a_cancellation_ends_the_wait_for_work_that_hangs() -> None:
    cancellation, begun, end = Cancellation(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        cancellation.cancel(signal.SIGTERM)
        end.wait(PATIENCE)

    with pytest.raises(Interrupted) as caught:
        run_in_background(work, cancellation)
    end.set()
    assert begun.is_set()
    assert caught.value.exit_code == 143
