"""Keeps each job's state changes with their times, for the run's report, and passes them on to the log."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from builder.act.result import Event
from builder.ports import Clock

MAX_EVENTS = 200  # of one job; the log has all


class Timeline:
    """The state changes of all jobs of one run. Any thread may call any method."""

    def __init__(self, report: Callable[[str, str], None], clock: Clock) -> None:
        self._pass_on = report
        self._clock = clock
        self._began = clock.monotonic()
        self._lock = threading.Lock()
        self._events: defaultdict[str, list[Event]] = defaultdict(list)

    def report(self, job: str, text: str) -> None:
        """Keep a state change of a job, and pass it on."""
        event = Event(self._clock.monotonic() - self._began, text)
        with self._lock:
            if len(self._events[job]) < MAX_EVENTS:
                self._events[job].append(event)
        self._pass_on(job, text)

    def of(self, job: str) -> tuple[Event, ...]:
        """Return what was reported of a job, oldest first."""
        with self._lock:
            return tuple(self._events[job])
