"""The one loop that waits: every wait has a deadline, an interval, and a clock that tests can move."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TypeVar, cast

import tenacity

from builder.errors import BuilderError, Cause, Interrupted
from builder.ports import CallFailed, Clock

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_SHARE = 0.05  # of the time waited so far, as the next interval of a wait that begins with short ones
CHECK_SECONDS = 0.2  # between two checks for cancellation
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 20.0  # seconds between two tries of a call
_LONG = 30.0  # seconds of repeating a call after which people are told what is waited for
_MAX_MISMATCHES = 4  # tries after a checksum mismatch: a damaged object does not repair itself


class WaitTimeout(Exception):
    """The wait for `what` ended without it, after `seconds`."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: not within {seconds:.0f} s")
        self.what = what
        self.seconds = seconds


class Cancellation:
    """The cancellation of a run, by a signal or by the run itself. Every thread that waits notices it."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._cause: Cause | None = None

    def cancel(self, cause: Cause) -> None:
        """Cancel the run. The first cause counts, but a signal goes before an error."""
        if self._cause is None or (
            isinstance(self._cause, BuilderError) and isinstance(cause, signal.Signals)
        ):
            self._cause = cause
        self._set.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long or until cancelled; True if cancelled."""
        return self._set.wait(seconds)

    def check(self) -> None:
        """Raise Interrupted if the run was cancelled."""
        if self._cause is not None:
            raise Interrupted(self._cause)


class RealClock:
    """The process's own clock, a `ports.Clock`; a cancellation ends its sleeps."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never decreases."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises Interrupted when the run is cancelled meanwhile."""
        if self._cancellation.wait(seconds):
            self._cancellation.check()


def run_in_background(work: Callable[[], T], cancellation: Cancellation) -> T:
    """Do the work on a thread of its own, and check for cancellation on this thread, which receives the signals.

    Raises Interrupted soon after a signal, even if the work hangs in a call. The work can then continue. If the work
    ends before the signal, its result is returned.
    """
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=carry_out, name="work", daemon=True).start()
    _await_end(future, cancellation)
    return future.result()


def await_result(future: Future[T], cancellation: Cancellation) -> T:
    """Return the future's result. Raises Interrupted soon after a cancellation, even if the future hangs in a call."""
    _await_end(future, cancellation)
    cancellation.check()
    return future.result()


def _await_end(future: Future[T], cancellation: Cancellation) -> None:
    while not future.done():
        cancellation.check()
        wait_for([future], timeout=CHECK_SECONDS)


def poll(
    check: Callable[[], T | None],
    *,
    what: str,
    interval: float,
    deadline: float,
    clock: Clock,
    first: float | None = None,
) -> T:
    """Call `check` every `interval` seconds until it returns something; WaitTimeout after `deadline` seconds.

    With `first`, the interval grows from `first` to `interval`, and is a small share of the time waited so far, so
    a long wait is polled less often. `check` is called at least once, and once more at the deadline. What it raises
    ends the wait.
    """
    started = clock.monotonic()

    def expired(_: tenacity.RetryCallState) -> bool:
        return clock.monotonic() - started >= deadline

    def pause(_: tenacity.RetryCallState) -> float:
        waited = clock.monotonic() - started
        grown = interval if first is None else max(first, waited * _SHARE)
        return max(0.0, min(grown, interval, deadline - waited))

    loop = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda result: result is None),
        stop=expired,
        wait=pause,
        sleep=clock.sleep,
        reraise=False,
    )
    try:
        return cast("T", loop(check))  # the loop goes on while it is None
    except tenacity.RetryError as timeout:
        raise WaitTimeout(what, clock.monotonic() - started) from timeout


def retry_transient(call: Callable[[], T], *, budget: float, clock: Clock) -> T:
    """Repeat a call that failed for a transient reason, with growing pauses, for `budget` seconds at the most.

    A pause is never shorter than the answer asks for.

    Raises the last CallFailed when the budget is used up, and any lasting one at once.
    """
    started = clock.monotonic()

    def expired(state: tenacity.RetryCallState) -> bool:
        failure = _failure(state)
        hopeless = failure is not None and failure.code == "checksumMismatch"
        if hopeless and state.attempt_number >= _MAX_MISMATCHES:
            return True
        return clock.monotonic() - started + state.upcoming_sleep > budget

    growing = tenacity.wait_exponential_jitter(multiplier=_FIRST_PAUSE, max=_MAX_PAUSE, jitter=_FIRST_PAUSE)

    def pause(state: tenacity.RetryCallState) -> float:
        failure = _failure(state)
        return max(growing(state), failure.retry_after if failure else 0.0)

    told: list[bool] = []

    def tell(state: tenacity.RetryCallState) -> None:
        if not told and clock.monotonic() - started > _LONG:
            told.append(True)
            _logger.warning("waiting, for %.0f s at the most: %s", budget, _failure(state))

    loop = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, CallFailed) and error.transient),
        stop=expired,
        wait=pause,
        sleep=clock.sleep,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return loop(call)
    except CallFailed as failure:
        failure.repeated = int(loop.statistics["attempt_number"]) > 1
        raise


def _failure(state: tenacity.RetryCallState) -> CallFailed | None:
    """Return the failure of the last try."""
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, CallFailed) else None
