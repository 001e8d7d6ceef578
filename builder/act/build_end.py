"""The end of the build that a run is a step of: nothing is waited for beyond it.

Cloud Build ends a build at its timeout by SIGKILL: no verdict, no report, and VMs that only their own deadlines remove.
So a run that knows the time stops early. `MARGIN` seconds before the end its waits end as a time limit, its VMs are
deleted and the report is written. Where that takes too long, the run leaves `LAST_RESORT` seconds before the end, as it
does after a signal.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from builder.errors import BuilderError, Interrupted, TimeLimit
from builder.plan.make import LONGEST_BUILD, Plan
from builder.plan.text import duration
from builder.ports import BuildTime, CallFailed, Clock

MARGIN = 90.0  # seconds for deleting VMs, publishing and reporting
LAST_RESORT = 10.0  # seconds for asking for the deletes and for the last lines
_LOOK = 0.5  # seconds of real time between two looks at the clock

_logger = logging.getLogger(__name__)


class BuildEnd:
    """Asks Cloud Build once, beside the run's start, and watches the time while the `with` block lasts.

    `ask` returns the build's time. If it is None, returns None or fails, the end is unknown and there is no limit.
    `tell` gets a warning where the worst case is longer than the build may last. `stop` is called once, at the last
    resort; `over` then has the reason.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        ask: Callable[[], BuildTime | None] | None,
        *,
        stop: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._ask = ask
        self._stop = stop
        self._tell = tell
        self._end = math.inf  # on the clock
        self._timeout = 0.0
        self._finished = threading.Event()
        self.over: BuilderError | None = None

    def __enter__(self) -> Self:
        if self._ask is not None:
            threading.Thread(target=self._watch, args=(self._ask,), name="build end", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()

    @property
    def left(self) -> float:
        """Seconds until the build's end; infinity where that is not known."""
        return self._end - self._clock.monotonic()

    def check(self) -> None:
        """Raise TimeLimit where only the margin is left."""
        if self.left <= MARGIN:
            raise self._limit()

    def _limit(self) -> TimeLimit:
        worst = self._plan.worst_case_seconds
        raised = (
            f"Raise `timeout` in cloudbuild.yaml (worst case {worst} s)"
            if worst <= LONGEST_BUILD
            else f"Raise `timeout` in cloudbuild.yaml (at most {LONGEST_BUILD} s; worst case {worst} s), "
            "divide the notebooks among builds"
        )
        return TimeLimit(
            f"The build's own timeout of {self._timeout:.0f} s leaves no time.",
            reason="build_timeout",
            advice=f"{raised}, or lower NB_TIMEOUT or NB_MAX_ATTEMPTS, or raise NB_CONCURRENCY.",
        )

    def _watch(self, ask: Callable[[], BuildTime | None]) -> None:
        try:
            time = ask()
        except (CallFailed, Interrupted) as failure:  # without an answer the run has no further limit
            _logger.info("the build's own time: %s", failure)
            return
        except Exception:  # a bug here must not decide the verdict either
            _logger.exception("the build's own time")
            return
        if time is not None:
            self._learn(time)
            self._wait_for_the_end()

    def _learn(self, time: BuildTime) -> None:
        self._timeout = time.timeout
        self._end = self._clock.monotonic() + time.left
        worst = self._plan.worst_case_seconds
        if worst > time.left - MARGIN:
            self._tell(
                f"warning: this build ends in {duration(max(0.0, time.left))}, by its own timeout of "
                f"{time.timeout:.0f} s, and the worst case is {worst} s; what is not over {MARGIN:.0f} s before the end is stopped"
            )

    def _wait_for_the_end(self) -> None:
        while not self._finished.wait(_LOOK):
            if self.left <= LAST_RESORT:
                self.over = self._limit()
                self._stop()
                return


class LimitedClock:
    """See ports.Clock. A clock whose sleeps end, by TimeLimit, where the build has only the margin left."""

    def __init__(self, clock: Clock, end: BuildEnd) -> None:
        self._clock = clock
        self._end = end

    def monotonic(self) -> float:
        """See ports.Clock."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """See ports.Clock. Raises TimeLimit."""
        self._end.check()
        self._clock.sleep(min(seconds, self._end.left - MARGIN))
        self._end.check()
