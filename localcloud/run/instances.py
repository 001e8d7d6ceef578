"""The instances of one revision: how many requests may run at once, where the next one goes, when an idle one ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from localcloud.clock import Clock, Timer
from localcloud.run.instance import Instance
from localcloud.run.revision import Revision

# Cloud Run keeps an instance without requests for up to 15 minutes.
_IDLE_SECONDS = 900.0
# How long a request waits for room, in real time: as Cloud Run's do at the most.
_PATIENCE = 10.0


class Busy(Exception):
    """Every instance that there may be has as many requests as it may have: a 429."""

    status = 429


@dataclass(eq=False)
class _Room:
    """One instance, from before its start on; `load` counts the requests in it or waiting for its start."""

    load: int = 0
    instance: Instance | None = None
    failure: Exception | None = None
    settled: threading.Event = field(default_factory=threading.Event)
    idle: Timer | None = None


class Instances:
    """Starts instances when requests need them. `start` raises `StartFailed`."""

    def __init__(self, revision: Revision, clock: Clock, start: Callable[[Revision], Instance]) -> None:
        self.revision = revision
        self._clock = clock
        self._start = start
        self._lock = threading.Condition()
        self._rooms: list[_Room] = []
        self._retired = False

    @contextlib.contextmanager
    def place(self) -> Iterator[Instance]:
        """Give a request an instance to run in, as soon as one has room.

        Raises `Busy` where none has any in time, or `StartFailed` when a new one does not start.
        """
        room, first = self._enter()
        try:
            if first:
                self._open(room)
            room.settled.wait()
            if room.instance is None:
                raise room.failure or Busy
            yield room.instance
        finally:
            self._leave(room)

    def drop(self, instance: Instance) -> None:
        """Forget an instance that does not answer any more."""
        with self._lock:
            gone = [room for room in self._rooms if room.instance is instance]
            self._rooms = [room for room in self._rooms if room not in gone]
            self._lock.notify_all()
        _end(gone)

    def count(self) -> int:
        """Return how many instances there are."""
        with self._lock:
            return len(self._rooms)

    def retire(self) -> None:
        """Take no more requests; instances end as soon as they have none."""
        with self._lock:
            self._retired = True
            idle = [room for room in self._rooms if room.load == 0]
            self._rooms = [room for room in self._rooms if room.load > 0]
            self._lock.notify_all()
        _end(idle)

    def close(self) -> None:
        """End all instances, whatever runs in them."""
        with self._lock:
            self._retired = True
            rooms, self._rooms = self._rooms, []
            self._lock.notify_all()
        _end(rooms)

    def _enter(self) -> tuple[_Room, bool]:
        """Return where a request may run, and whether that is yet to be started."""
        until = time.monotonic() + _PATIENCE
        with self._lock:
            while (room := self._with_room()) is None and self._is_full():
                left = until - time.monotonic()
                if self._retired or left <= 0:
                    raise Busy
                self._lock.wait(left)
            first = room is None
            if room is None:
                room = _Room()
                self._rooms.append(room)
            room.load += 1
            if room.idle is not None:
                room.idle.cancel()
        return room, first

    def _with_room(self) -> _Room | None:
        """Return an instance that can take a request, and forget those that ended by themselves."""
        dead = [room for room in self._rooms if room.instance is not None and not room.instance.alive]
        self._rooms = [room for room in self._rooms if room not in dead]
        _end(dead)
        return next((room for room in self._rooms if room.load < self.revision.concurrency), None)

    def _is_full(self) -> bool:
        return self._retired or len(self._rooms) >= self.revision.most_instances

    def _open(self, room: _Room) -> None:
        try:
            instance = self._start(self.revision)
        except Exception as error:
            with self._lock:
                room.failure = error
                self._rooms = [other for other in self._rooms if other is not room]
                self._lock.notify_all()
            raise
        else:
            with self._lock:
                room.instance = instance
                gone = room not in self._rooms
            if gone:  # closed meanwhile
                instance.close()
        finally:
            room.settled.set()

    def _leave(self, room: _Room) -> None:
        with self._lock:
            room.load -= 1
            self._lock.notify_all()
            if room.load or room not in self._rooms:
                return
            if not self._retired:
                room.idle = self._clock.call_later(_IDLE_SECONDS, lambda: self._end_idle(room))
                return
            self._rooms.remove(room)
        _end([room])

    def _end_idle(self, room: _Room) -> None:
        with self._lock:
            if room.load or room not in self._rooms or len(self._rooms) <= self.revision.least_instances:
                return
            self._rooms.remove(room)
        _end([room])


def _end(rooms: list[_Room]) -> None:
    for room in rooms:
        if room.instance is not None:
            room.instance.close()
