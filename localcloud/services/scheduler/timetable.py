"""The firing of jobs: timers on the virtual clock, retries, and the stored result of the last attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.errors import ApiError
from localcloud.core.kept import Kept
from localcloud.core.times import timestamp
from localcloud.services.scheduler import rules_cron
from localcloud.services.scheduler.rules_retries import interval, may_retry

Json = dict[str, Any]
Publish = Callable[[Json], object]
"""Publishes the message of a `PubsubTarget`; raises `ApiError`."""

# google.rpc.Code by HTTP status.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 501: 12, 503: 14}
_INTERNAL = 13


@dataclass(frozen=True)
class _Plan:
    """The next try of a job. `due` and `first` (of the same execution) are in seconds since the epoch."""

    name: str
    due: float
    first: float
    retries: int = 0


class Timetable:
    """Fires jobs that are ENABLED. One execution of a job, with its retries, ends before the next begins."""

    def __init__(self, clock: Clock, jobs: Kept, publish: Publish) -> None:
        self._clock = clock
        self._jobs = jobs
        self._publish = publish
        self._plans: dict[str, _Plan] = {}

    def plan(self, name: str) -> None:
        """Set the timer of a job's next execution; a job that is not ENABLED gets none."""
        self._plan_after(name, self._clock.now())

    def forget(self, name: str) -> None:
        """Cancel a job's timer."""
        with self._jobs.lock:
            self._plans.pop(name, None)

    def run_now(self, name: str) -> None:
        """Run a job once, now, in any state."""
        self._clock.call_at(self._clock.now(), lambda: self._attempt(name))

    def _plan_after(self, name: str, when: float) -> None:
        with self._jobs.lock:
            self._plans.pop(name, None)
            job = self._jobs.find(name)
            if job is not None and job["state"] == "ENABLED":
                due = rules_cron.next_after(job["schedule"], job["timeZone"], when)
                self._set(_Plan(name, due, due))

    def _set(self, plan: _Plan) -> None:
        self._plans[plan.name] = plan
        job = self._jobs.find(plan.name) or {}
        self._jobs.put(plan.name, job | {"scheduleTime": timestamp(plan.due)})
        self._clock.call_at(plan.due, lambda: self._fire(plan))

    def _fire(self, plan: _Plan) -> None:
        with self._jobs.lock:
            if self._plans.get(plan.name) is not plan:
                return  # another one has replaced it since
            succeeded = self._attempt(plan.name)
            config = (self._jobs.find(plan.name) or {})["retryConfig"]
            if not succeeded and may_retry(config, plan.retries, self._clock.now() - plan.first):
                again = self._clock.now() + interval(config, plan.retries)
                self._set(replace(plan, due=again, retries=plan.retries + 1))
            else:
                self._plan_after(plan.name, plan.due)

    def _attempt(self, name: str) -> bool:
        with self._jobs.lock:
            job = self._jobs.find(name)
            if job is None:
                return False
            status: Json = {}
            try:
                self._publish(job["pubsubTarget"])
            except ApiError as error:
                status = {"code": _CODES.get(error.status, _INTERNAL)}
            attempt = {"lastAttemptTime": timestamp(self._clock.now()), "status": status}
            self._jobs.put(name, job | attempt)
        return not status
