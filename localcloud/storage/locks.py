"""One lock per object name, held while a request looks at an object and changes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

Key = tuple[str, str]


@dataclass
class _Held:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Locks:
    """Locks that exist only while somebody wants them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[Key, _Held] = {}

    @contextmanager
    def hold(self, *keys: Key) -> Iterator[None]:
        """Hold the locks of some (bucket, name) pairs; always taken in one order, so that no two callers block each other."""
        with ExitStack() as stack:
            for key in sorted(set(keys)):
                stack.enter_context(self._one(key))
            yield

    @contextmanager
    def _one(self, key: Key) -> Iterator[None]:
        with self._guard:
            held = self._held.setdefault(key, _Held())
            held.users += 1
        try:
            with held.lock:
                yield
        finally:
            with self._guard:
                held.users -= 1
                if held.users == 0:
                    del self._held[key]
