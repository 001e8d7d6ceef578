"""One running step: a thread that starts it, copies its output to the log, and waits for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from localcloud.core.clock import Clock
from localcloud.engines.build import RunnerError, RunningStep, StepOrder, Worker
from localcloud.services.cloudbuild.job import StepEnd
from localcloud.services.cloudbuild.state_log import BuildLog


class Step:
    """A step of a running build. `limit` is its own time limit in seconds, from the moment its image is there.

    `check_image` raises `RunnerError` for an image that the build's account may not pull.
    `over(index, end)` is called once, from the step's thread; `bug(error)` instead after an error of localcloud's.
    """

    def __init__(
        self,
        worker: Worker,
        order: StepOrder,
        title: str,
        *,
        check_image: Callable[[str], None],
        limit: float | None,
        clock: Clock,
        log: BuildLog,
        over: Callable[[int, StepEnd], None],
        bug: Callable[[BaseException], None],
    ) -> None:
        self._worker = worker
        self._order = order
        self._title = title
        self._check_image = check_image
        self._limit = limit
        self._clock = clock
        self._log = log
        self._over = over
        self._bug = bug
        self._lock = threading.Lock()
        self._running: RunningStep | None = None
        self._killed = False
        self._timed_out = False
        self._thread = threading.Thread(target=self._work, name=f"build-step-{order.index}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def kill(self) -> bool:
        """End it at once; True if it was running. The worker ends a step that is about to start."""
        with self._lock:
            self._killed = True
            running = self._running
        if running is not None:
            running.kill()
        return running is not None

    def join(self) -> None:
        """Wait for its end, after which its output is in the log."""
        self._thread.join()

    def _work(self) -> None:
        try:
            end = self._ended()
        except Exception as error:  # noqa: BLE001  after any error, the build must end and report it
            self._bug(error)
        else:
            self._over(self._order.index, end)

    def _ended(self) -> StepEnd:
        if self._title:
            self._log.write(f"Starting {self._title}")
        try:
            self._check_image(self._order.image)
            self._log_line(self._worker.describe(self._order.image))
            running = self._started()
        except RunnerError as error:
            return StepEnd(trouble=str(error))
        code = self._finish(running)
        output = self._worker.step_output(self._order.index)
        if self._title:
            self._log.write(f"Finished {self._title}")
        return StepEnd(code, timed_out=self._timed_out, output=output)

    def _started(self) -> RunningStep:
        running = self._worker.start(self._order)
        with self._lock:
            self._running = running
        return running

    def _finish(self, running: RunningStep) -> int:
        timer = None if self._limit is None else self._clock.call_later(self._limit, self._expire)
        try:
            self._log.copy(running.output, self._title)
        except ValueError:
            if not self._killed:
                raise  # else the worker, and with it the output, was closed before the first read
        code = running.wait()
        if timer is not None:
            timer.cancel()
        return code

    def _expire(self) -> None:
        """End it in a thread of its own: the clock must not wait for that."""
        self._timed_out = True
        threading.Thread(target=self.kill, name=f"build-step-{self._order.index}-limit", daemon=True).start()

    def _log_line(self, line: str) -> None:
        self._log.write(f"{self._title}: {line}" if self._title else line)
