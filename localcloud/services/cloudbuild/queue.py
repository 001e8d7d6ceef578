"""Runs builds: some at a time; the others wait in order, until their time in the queue is over."""

from __future__ import annotations

import threading

from localcloud.core.errors import ApiError
from localcloud.core.times import seconds
from localcloud.services.cloudbuild.job import CANCELLED, EXPIRED, Ending, Job
from localcloud.services.cloudbuild.run import Run, Tools
from localcloud.services.cloudbuild.state import ENDED_BY_US

_AT_ONCE = 10
_CLOSED = Ending("INTERNAL_ERROR", ENDED_BY_US)
# The longest wait of a cancelling call for the build's end, which only has to kill processes.
_CANCEL_SECONDS = 30.0


class Engine:
    """The builds that run and those that wait."""

    def __init__(self, tools: Tools, at_once: int = _AT_ONCE) -> None:
        self._tools = tools
        self._at_once = at_once
        self._lock = threading.Lock()
        self._waiting: dict[str, Run] = {}
        self._running: dict[str, Run] = {}
        self._closed = False

    def submit(self, job: Job) -> None:
        """Run a build as soon as a place is free; returns at once. Raises ApiError 503 if localcloud is ending."""
        run = Run(job, self._tools)
        with self._lock:
            if self._closed:
                raise ApiError(503, "backendError", ENDED_BY_US)
            self._waiting[job.record.id] = run
        ttl = seconds(job.record.view()["queueTtl"])
        self._tools.clock.call_later(ttl, lambda: self._take_out(job.record.id, EXPIRED))
        self._start_next()

    def cancel(self, build_id: str) -> None:
        """End a waiting or running build as CANCELLED; returns once it has ended. No effect on any other."""
        if self._take_out(build_id, CANCELLED):
            return
        with self._lock:
            run = self._running.get(build_id)
        if run is not None:
            run.stop(CANCELLED)
            run.over.wait(_CANCEL_SECONDS)

    def close(self) -> None:
        """End everything, and accept no more builds."""
        with self._lock:
            self._closed = True
            waiting, running = list(self._waiting.values()), list(self._running.values())
            self._waiting.clear()
        for run in running:
            run.stop(_CLOSED)
        for run in waiting:
            run.drop(_CLOSED)
        for run in running:
            run.over.wait()

    def _take_out(self, build_id: str, ending: Ending) -> bool:
        """End a build if it still waits; True if it did."""
        with self._lock:
            run = self._waiting.pop(build_id, None)
        if run is not None:
            run.drop(ending)
        return run is not None

    def _start_next(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self._at_once:
                build_id = next(iter(self._waiting))
                run = self._running[build_id] = self._waiting.pop(build_id)
                threading.Thread(
                    target=self._execute, args=(run,), name=f"build-{build_id}", daemon=True
                ).start()

    def _execute(self, run: Run) -> None:
        try:
            run.execute()
        except Exception as error:  # noqa: BLE001  such as a full disk; the other builds must go on
            self._tools.on_error(f"the end of build {run.job.record.id}", error)
            run.over.set()
        with self._lock:
            del self._running[run.job.record.id]
        self._start_next()
