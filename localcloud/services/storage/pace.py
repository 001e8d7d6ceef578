"""The rate limit on changes of one object: once a second, after a short burst."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from localcloud.services.storage.refusals import rate_limited

# Google documents one write a second to the same object name, and that short bursts pass, but not how long ones. Three
# writes at once, then one a second, reveal code that hammers an object, and let a retry through.
_BURST = 3.0
_PER_SECOND = 1.0
_REMEMBERED = 10_000


class Pace:
    """A token bucket per object, on real time. Safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, bucket: str, name: str) -> None:
        """Count one change of an object; raises Google's 429 if it comes too soon."""
        with self._lock:
            now = self._now()
            if len(self._left) > _REMEMBERED:
                self._drop_full(now)
            left = self._refilled((bucket, name), now)
            if left < 1:
                raise rate_limited(bucket, name)
            self._left[bucket, name] = (left - 1, now)

    def _refilled(self, key: tuple[str, str], now: float) -> float:
        left, at = self._left.get(key, (_BURST, now))
        return min(_BURST, left + (now - at) * _PER_SECOND)

    def _drop_full(self, now: float) -> None:
        self._left = {key: value for key, value in self._left.items() if self._refilled(key, now) < _BURST}
