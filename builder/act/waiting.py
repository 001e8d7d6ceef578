"""The one loop that waits: every wait has a deadline, an interval, and a clock that tests can move."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar

import tenacity

from builder.errors import Interrupted
from builder.ports import CallFailed, Clock

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_LOOK = 0.2  # seconds between two looks at the stop sign
STOPPED = 0  # the stop sign's number where no signal pulled it, but the run itself: it says why
_LONG = 30.0  # seconds of repeating a call after which people are told what is waited for
_MOST_MISMATCHES = 4  # tries for bytes that do not fit their checksum: what is stored broken stays broken


class WaitTimeout(Exception):
    """What was waited for did not come in time; `seconds` is how long was waited."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: not within {seconds:.0f} s")
        self.seconds = seconds


class Cancellation:
    """A run's stop sign: set once by a signal, seen by every thread that waits."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self.signum = 0

    def cancel(self, signum: int) -> None:
        """Ask every waiting thread to leave."""
        self.signum = self.signum or signum
        self._set.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long or until cancelled; True if cancelled."""
        return self._set.wait(seconds)

    def check(self) -> None:
        """Raise Interrupted if the run was cancelled."""
        if self._set.is_set():
            raise Interrupted(self.signum)


class RealClock:
    """The process's own clock; a cancellation ends its sleeps."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation

    def monotonic(self) -> float:
        """See ports.Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See ports.Clock."""
        if self._cancellation.wait(seconds):
            self._cancellation.check()


def run_aside(work: Callable[[], T], cancellation: Cancellation) -> T:
    """Do the work on a thread of its own and watch the stop sign here, on the thread that gets the signals.

    Raises Interrupted soon after a signal, whatever call the work is stuck in; the work may go on then.
    """
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=carry_out, name="work", daemon=True).start()
    while not future.done():
        cancellation.check()
        wait_for([future], timeout=_LOOK)
    return future.result()


def poll(check: Callable[[], T | None], *, what: str, interval: float, deadline: float, clock: Clock) -> T:
    """Call `check` every `interval` seconds until it returns something; WaitTimeout after `deadline` seconds.

    `check` is called at least once, and once more at the deadline. What it raises ends the wait.
    """
    started = clock.monotonic()

    def expired(_: tenacity.RetryCallState) -> bool:
        return clock.monotonic() - started >= deadline

    def pause(_: tenacity.RetryCallState) -> float:
        return max(0.0, min(interval, deadline - (clock.monotonic() - started)))

    loop = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda result: result is None),
        stop=expired,
        wait=pause,
        sleep=clock.sleep,
        reraise=False,
    )
    try:
        result = loop(check)
    except tenacity.RetryError as timeout:
        raise WaitTimeout(what, clock.monotonic() - started) from timeout
    if result is None:
        raise AssertionError
    return result


def retry_transient(
    call: Callable[[], T],
    *,
    budget: float,
    clock: Clock,
    first_pause: float = 0.5,
    longest_pause: float = 20.0,
) -> T:
    """Repeat a call that failed for a passing reason, with growing pauses, for `budget` seconds at the most.

    Raises the last CallFailed when the budget is used up, and any lasting one at once.
    """
    started = clock.monotonic()

    def expired(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        hopeless = isinstance(error, CallFailed) and error.code == "checksumMismatch"
        if hopeless and state.attempt_number >= _MOST_MISMATCHES:
            return True
        return clock.monotonic() - started + state.upcoming_sleep > budget

    told: list[bool] = []

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if not told and clock.monotonic() - started > _LONG:
            told.append(True)
            _logger.warning("waiting, for %.0f s at the most: %s", budget, error)

    loop = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, CallFailed) and error.transient),
        stop=expired,
        wait=tenacity.wait_exponential_jitter(multiplier=first_pause, max=longest_pause, jitter=first_pause),
        sleep=clock.sleep,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return loop(call)
    except CallFailed as failure:
        failure.repeated = int(loop.statistics.get("attempt_number", 1)) > 1
        raise
