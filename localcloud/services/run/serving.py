"""One serving revision: its instance, and its limit of concurrent requests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from localcloud.engines.function.instance import Instance
from localcloud.engines.function.revision import Revision

# The longest wait of a request, in real seconds: that of Cloud Run.
_PATIENCE = 10.0


class Busy(Exception):
    """The revision already has its maximum of concurrent requests: a 429."""

    status = 429


class Serving:
    """Starts the revision's one instance when a request needs it. `start` raises `StartFailed`.

    Google spreads requests over several instances. Here one process serves as many requests at once as all of them
    would.
    """

    def __init__(self, revision: Revision, start: Callable[[Revision], Instance]) -> None:
        self.revision = revision
        self._start = start
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._instance: Instance | None = None
        self._load = 0
        self._retired = False

    @contextlib.contextmanager
    def place(self) -> Iterator[Instance]:
        """Yield the instance for a request once it may run.

        Raise `Busy` if that takes too long, or `StartFailed` if the instance does not start.
        """
        self._enter()
        try:
            yield self._running()
        finally:
            self._leave()

    def drop(self, instance: Instance) -> None:
        """End an instance that no longer answers; the next request starts another one."""
        with self._changed:
            if self._instance is instance:
                self._instance = None
        instance.close()

    def count(self) -> int:
        """Return how many instances run: 0 or 1."""
        return int(self._instance is not None)

    def retire(self) -> None:
        """Accept no more requests; the instance ends after the last one."""
        with self._changed:
            self._retired = True
            self._changed.notify_all()
            idle = self._load == 0
        if idle:
            self._end()

    def close(self) -> None:
        """End the instance, with the requests in it."""
        with self._changed:
            self._retired = True
            self._changed.notify_all()
        self._end()

    def _enter(self) -> None:
        most = self.revision.most_instances
        until = time.monotonic() + _PATIENCE
        with self._changed:
            while self._retired or self._load >= most:
                left = until - time.monotonic()
                if self._retired or left <= 0:
                    raise Busy
                self._changed.wait(left)
            self._load += 1

    def _running(self) -> Instance:
        """Return the instance, after starting it if needed. Concurrent requests wait for the same start."""
        with self._starting:
            instance = self._instance
            if instance is not None and instance.alive:
                return instance
            if instance is not None:
                self.drop(instance)
            instance = self._start(self.revision)
            with self._changed:
                self._instance = instance
                retired = self._retired
        if retired:
            self._end()
            raise Busy
        return instance

    def _leave(self) -> None:
        with self._changed:
            self._load -= 1
            self._changed.notify_all()
            over = self._retired and self._load == 0
        if over:
            self._end()

    def _end(self) -> None:
        with self._changed:
            instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()
