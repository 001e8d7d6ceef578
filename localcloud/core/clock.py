"""A clock that tests can move: real time plus an offset, with timers that fire in order also when it jumps."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

Action = Callable[[], object]

# Compute Engine prints its times in Pacific time; standard time all year keeps them comparable as text.
_PACIFIC = timezone(timedelta(hours=-8))


def _print_failure(_error: BaseException) -> None:
    traceback.print_exc(file=sys.stderr)


@dataclass(order=True)
class Timer:
    """One pending action; it never fires after `cancel`."""

    when: float
    number: int
    action: Action = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Cancel the timer; no effect once it has begun to fire."""
        self.cancelled = True


class Clock:
    """Seconds since the epoch, as localcloud's services see them.

    Timers run one after another, on the clock's own thread or on the thread that calls `advance`. An exception in one
    goes to `on_error` and stops nothing. Don't call `advance` while holding a lock that an action needs.
    """

    def __init__(self, on_error: Callable[[BaseException], None] = _print_failure) -> None:
        self._on_error = on_error
        self._epoch = time.time() - time.monotonic()
        self._offset = 0.0
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._firing = threading.RLock()
        self._waits: list[Action] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="localcloud-clock", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Return the virtual time, in seconds since the epoch."""
        return self._epoch + time.monotonic() + self._offset

    def timestamp(self, when: float | None = None) -> str:
        """Return `when` (default: now) as Compute Engine prints times: RFC 3339, milliseconds, Pacific time."""
        moment = datetime.fromtimestamp(self.now() if when is None else when, tz=_PACIFIC)
        return moment.isoformat(timespec="milliseconds")

    def call_at(self, when: float, action: Action) -> Timer:
        """Run `action` at the virtual time `when`; at once if that has passed."""
        with self._changed:
            timer = Timer(when, next(self._numbers), action)
            heapq.heappush(self._timers, timer)
            self._changed.notify_all()
        return timer

    def call_later(self, seconds: float, action: Action) -> Timer:
        """Run `action` after `seconds` of virtual time."""
        return self.call_at(self.now() + seconds, action)

    def add_wait(self, wait: Action) -> None:
        """Make `advance` wait for the effects of a timer: `wait` returns once they are over, or have taken too long."""
        self._waits.append(wait)

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Fires due timers in order, each at its own time, before it returns."""
        if seconds < 0:
            message = f"the clock only moves forward, not by {seconds} s"
            raise ValueError(message)
        with self._firing:
            target = self.now() + seconds
            while (timer := self._pop_due(target)) is not None:
                self._move_to(timer.when)
                self._fire(timer)
                for wait in self._waits:
                    wait()
            self._move_to(target)
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the clock; timers still pending never fire."""
        with self._changed:
            self._closed = True
            self._timers.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _move_to(self, when: float) -> None:
        self._offset += max(0.0, when - self.now())

    def _pop_due(self, until: float) -> Timer | None:
        with self._changed:
            while self._timers and self._timers[0].when <= until:
                timer = heapq.heappop(self._timers)
                if not timer.cancelled:
                    return timer
        return None

    def _fire(self, timer: Timer) -> None:
        try:
            timer.action()
        except Exception as error:  # noqa: BLE001  one service's bug must not stop the clock
            self._on_error(error)

    def _run(self) -> None:
        while self._wait_for_due():
            with self._firing:
                timer = self._pop_due(self.now())
                if timer is not None:
                    self._fire(timer)

    def _wait_for_due(self) -> bool:
        """Block until a timer is due (True) or the clock is closed (False)."""
        with self._changed:
            while not self._closed:
                pause = self._timers[0].when - self.now() if self._timers else None
                if pause is not None and pause <= 0:
                    return True
                self._changed.wait(pause)
        return False
