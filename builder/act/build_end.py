"""Keeps a run within the timeout of the build that it is a step of.

Cloud Build ends a build at its timeout by SIGKILL: no verdict, no report, and VMs that only their own deadlines
remove. A run that knows the timeout stops early. `MARGIN` seconds before the end, its waits end with a time limit, its
VMs are deleted, and the report is written. If that takes too long, the run leaves `LAST_RESORT` seconds before the
end, as after a signal.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Self

from builder.errors import BuilderError, InputRefused, Interrupted, TimeLimit
from builder.plan.build_plan import MAX_BUILD_SECONDS, Plan
from builder.plan.format import counted, duration
from builder.ports import BuildTime, CallFailed, Clock

MARGIN = 90.0  # seconds for deleting VMs, publishing and reporting
ANSWER = 2.0  # seconds of real time for which the start of a run waits for the build's timeout
LAST_RESORT = 10.0  # seconds for sending the deletes and printing the last lines
_LOOK = 0.5  # seconds of real time between two looks at the clock

_logger = logging.getLogger(__name__)


class BuildEnd:
    """Asks Cloud Build for the timeout in the background, and watches the time during the `with` block.

    `ask` returns the build's time. If it is None, returns None or fails, the end is unknown and there is no limit.
    `report` gets a warning if the worst case is longer than the build may last. `stop` is called once, with the reason,
    at the last resort.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        ask: Callable[[], BuildTime | None] | None,
        *,
        stop: Callable[[BuilderError], None],
        report: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._ask = ask
        self._stop = stop
        self._report = report
        self._end = math.inf  # on the clock
        self._timeout = 0.0
        self._asked = threading.Event()  # set when the end is known, or cannot become known
        self._finished = threading.Event()

    def __enter__(self) -> Self:
        if self._ask is None:
            self._asked.set()
        else:
            threading.Thread(target=self._watch, args=(self._ask,), name="build end", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()

    @property
    def left(self) -> float:
        """Seconds until the build's end; infinity if the end is unknown."""
        return self._end - self._clock.monotonic()

    def refuse_too_short(self) -> None:
        """Raise InputRefused if the build ends before the jobs' VMs can start. An unknown end refuses nothing."""
        self._asked.wait(ANSWER)
        if self.left - MARGIN < self._plan.least_seconds:
            raise InputRefused(
                f"This build ends in {duration(max(0.0, self.left))}, by its own timeout of {self._timeout:.0f} s. A run needs at least "
                f"{self._plan.least_seconds + MARGIN:.0f} s for {counted([job.notebook.path for job in self._plan.jobs])}; "
                "nothing was created.",
                reason="build_too_short",
                advice=f"Raise `timeout` in cloudbuild.yaml: a run takes at most {self._plan.expected_seconds} s "
                f"if no attempt is repeated, and {self._plan.worst_case_seconds} s in the worst case.",
            )

    def check(self) -> None:
        """Raise TimeLimit if only the margin is left."""
        if self.left <= MARGIN:
            raise self._limit()

    def _limit(self) -> TimeLimit:
        worst = self._plan.worst_case_seconds
        raised = (
            f"Raise `timeout` in cloudbuild.yaml (worst case {worst} s)"
            if worst <= MAX_BUILD_SECONDS
            else f"Raise `timeout` in cloudbuild.yaml (at most {MAX_BUILD_SECONDS} s; worst case {worst} s), "
            "divide the notebooks among builds"
        )
        return TimeLimit(
            f"The build's own timeout of {self._timeout:.0f} s leaves no time.",
            reason="build_timeout",
            advice=f"{raised}, or lower NB_TIMEOUT or NB_MAX_ATTEMPTS, or raise NB_CONCURRENCY.",
        )

    def _watch(self, ask: Callable[[], BuildTime | None]) -> None:
        try:
            time = self._answer(ask)
            if time is not None:
                self._learn(time)
        finally:
            self._asked.set()
        if time is not None:
            self._wait_for_the_end()

    @staticmethod
    def _answer(ask: Callable[[], BuildTime | None]) -> BuildTime | None:
        try:
            return ask()
        except (CallFailed, Interrupted) as failure:  # without an answer, the run has no other limit
            _logger.info("the build's own time: %s", failure)
        except Exception:  # a bug here must not decide the verdict
            _logger.exception("the build's own time")
        return None

    def _learn(self, time: BuildTime) -> None:
        self._timeout = time.timeout
        self._end = self._clock.monotonic() + time.left
        worst = self._plan.worst_case_seconds
        if worst > time.left - MARGIN:
            self._report(
                f"warning: this build ends in {duration(max(0.0, time.left))}, by its own timeout of "
                f"{time.timeout:.0f} s, and the worst case is {worst} s; {MARGIN:.0f} s before the end, the run stops its jobs"
            )

    def _wait_for_the_end(self) -> None:
        while not self._finished.wait(_LOOK):
            if self.left <= LAST_RESORT:
                self._stop(self._limit())
                return


class LimitedClock:
    """A `ports.Clock` whose sleeps end with TimeLimit when only the margin is left before the build's end."""

    def __init__(self, clock: Clock, end: BuildEnd) -> None:
        self._clock = clock
        self._end = end

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never decreases."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`. Raises TimeLimit, and Interrupted if the run is cancelled."""
        self._end.check()
        self._clock.sleep(min(seconds, self._end.left - MARGIN))
        self._end.check()
