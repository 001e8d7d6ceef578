"""The clock: a jump fires due timers in order, each at its own time; without one, timers fire in real time."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from localcloud.core.clock import Clock
from tests.patience import PATIENCE


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def clock(errors: list[BaseException]) -> Iterator[Clock]:
    clock = Clock(errors.append)
    yield clock
    clock.close()


def test_advance_fires_due_timers_in_order_each_at_its_own_time(clock: Clock) -> None:
    start = clock.now()
    fired: list[tuple[str, float]] = []
    for name, seconds in (("late", 300.0), ("early", 100.0), ("never", 1000.0)):
        clock.call_later(seconds, partial(lambda name: fired.append((name, clock.now() - start)), name))
    clock.advance(500)
    assert [name for name, _when in fired] == ["early", "late"]
    assert [when for _name, when in fired] == pytest.approx([100, 300], abs=1)
    assert clock.now() - start == pytest.approx(500, abs=1)


def test_a_timer_set_by_a_timer_fires_in_the_same_jump(clock: Clock) -> None:
    fired: list[str] = []
    clock.call_later(100, lambda: clock.call_later(100, lambda: fired.append("second")))
    clock.advance(150)
    assert fired == []
    clock.advance(60)
    assert fired == ["second"]


def test_a_timer_fires_without_a_jump(clock: Clock) -> None:
    fired = threading.Event()
    clock.call_later(0.01, fired.set)
    assert fired.wait(PATIENCE)


def test_an_earlier_timer_wakes_the_clock_that_waits_for_a_later_one(clock: Clock) -> None:
    fired = threading.Event()
    clock.call_later(1000, lambda: None)
    clock.call_later(0.01, fired.set)
    assert fired.wait(PATIENCE)


def test_a_cancelled_timer_never_fires(clock: Clock) -> None:
    fired: list[int] = []
    timer = clock.call_later(10, lambda: fired.append(1))
    timer.cancel()
    clock.advance(20)
    assert fired == []


def test_an_exception_in_a_timer_is_reported_and_stops_nothing(
    clock: Clock, errors: list[BaseException]
) -> None:
    fired: list[int] = []
    clock.call_later(1, lambda: 1 // 0)
    clock.call_later(2, lambda: fired.append(1))
    clock.advance(3)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert fired == [1]


def test_the_clock_does_not_go_back(clock: Clock) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(-1)


def test_a_closed_clock_fires_nothing(clock: Clock) -> None:
    fired: list[int] = []
    clock.call_later(1, lambda: fired.append(1))
    clock.close()
    clock.advance(10)
    assert fired == []


def test_timestamps_are_as_compute_prints_them(clock: Clock) -> None:
    assert clock.timestamp(1_700_000_000.123) == "2023-11-14T14:13:20.123-08:00"
