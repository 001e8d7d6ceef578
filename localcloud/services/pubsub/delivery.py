"""The backlogs of subscriptions: the due times of messages, and their delivery by pull or push."""

from __future__ import annotations

import itertools
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.faults import FaultPlan
from localcloud.core.times import seconds
from localcloud.services.pubsub.messages import Message
from localcloud.services.pubsub.names import short_name
from localcloud.services.pubsub.refusals import bad_ack_id, missing

Json = dict[str, Any]

PUSHED = "pubsub.subscriptions.push"
"""The method name of a push in fault plans. No API has it."""

_PUSHES_AT_ONCE = 32
# The longest wait of a moving clock for a push, in real seconds.
_CLOCK_STANDS = 10.0
_ACK_ID = re.compile(r"local-[0-9]+")
_MAX_DOUBLINGS = 20


@dataclass(eq=False)
class _Held:
    """A message that a subscription has not acknowledged. `available` is the virtual time of its next delivery."""

    message: Message
    available: float
    attempts: int = 0
    ack_id: str = ""
    copy: bool = False


class Delivery:
    """Backlogs by subscription name, in memory.

    `subscription` gives a subscription's present settings (None if it is deleted), without taking a lock;
    `push` delivers a message to its endpoint and returns True if it was acknowledged.
    """

    def __init__(
        self,
        clock: Clock,
        faults: FaultPlan,
        subscription: Callable[[str], Json | None],
        push: Callable[[Json, Message], bool],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._subscription = subscription
        self._push = push
        self._on_error = on_error
        self._changed = threading.Condition()
        self._backlogs: dict[str, list[_Held]] = {}
        self._ack_ids = itertools.count(1)
        self._pushes: queue.SimpleQueue[tuple[str, _Held] | None] = queue.SimpleQueue()
        self._workers = 0
        self._under_way: dict[_Held, float] = {}  # since when, by the real clock
        self._closed = False
        clock.add_wait(self._wait_for_pushes)

    def open(self, name: str) -> None:
        """Begin a backlog."""
        with self._changed:
            self._backlogs[name] = []

    def drop(self, name: str) -> None:
        """Delete a backlog and its messages."""
        with self._changed:
            self._backlogs.pop(name, None)

    def close(self) -> None:
        """Stop all deliveries. Running pushes go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for _ in range(self._workers):
                self._pushes.put(None)

    def backlog(self, name: str) -> int:
        """Return how many messages are not acknowledged."""
        with self._changed:
            return len(self._backlogs.get(name, ()))

    def add(self, name: str, messages: Sequence[Message]) -> None:
        """Add messages to a backlog, and deliver them as soon as possible."""
        with self._changed:
            if name in self._backlogs:
                self._backlogs[name] += [_Held(message, message.published) for message in messages]
        self.wake(name)

    def wake(self, name: str) -> None:
        """Deliver what is due now, after a new message, a passed time or a change of settings."""
        with self._changed:
            settings = self._subscription(name)
            if self._closed or settings is None or not settings["pushConfig"]:
                return
            for held in self._due(name, settings):
                self._begin_push(name, settings, held)

    def pull(self, name: str, most: int) -> list[Json]:
        """Return up to `most` `ReceivedMessage`s that are due; raises `ApiError` 404."""
        with self._changed:
            settings = self._subscription(name)
            if settings is None or name not in self._backlogs:
                raise missing(name)
            return [self._deliver(settings, held) for held in self._due(name, settings)[:most]]

    def acknowledge(self, name: str, ack_ids: Sequence[str]) -> None:
        """Delete the messages; an outdated id is accepted without an effect."""
        _check_ack_ids(ack_ids)
        with self._changed:
            done = set(ack_ids)
            if name in self._backlogs:
                self._backlogs[name] = [held for held in self._backlogs[name] if held.ack_id not in done]

    def _due(self, name: str, settings: Json) -> list[_Held]:
        """Return the messages that may be delivered now, and drop those that are too old."""
        now = self._clock.now()
        oldest = now - seconds(settings["messageRetentionDuration"])
        kept = [held for held in self._backlogs.get(name, ()) if held.message.published > oldest]
        if name in self._backlogs:
            self._backlogs[name] = kept
        return [held for held in kept if held.available <= now]

    def _deliver(self, settings: Json, held: _Held) -> Json:
        held.ack_id = f"local-{next(self._ack_ids)}"
        held.available = self._clock.now() + settings["ackDeadlineSeconds"]
        return {"ackId": held.ack_id, "message": held.message.view()}

    def _retry_after(self, name: str, held: _Held, delay: float) -> None:
        held.available = self._clock.now() + delay
        self._clock.call_at(held.available, lambda: self.wake(name))

    def _begin_push(self, name: str, settings: Json, held: _Held) -> None:
        held.available = math.inf
        if held.attempts == 0 and not held.copy:
            self._duplicate(name, settings, held)
        held.attempts += 1
        self._under_way[held] = time.monotonic()
        if self._workers < _PUSHES_AT_ONCE:
            self._workers += 1
            threading.Thread(target=self._work, name="localcloud-push", daemon=True).start()
        self._pushes.put((name, held))

    def _wait_for_pushes(self) -> None:
        """Wait for pushes that began less than 10 s ago, so that their effects have the time of their message."""
        with self._changed:
            while self._under_way and not self._closed:
                left = max(self._under_way.values()) + _CLOCK_STANDS - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def _duplicate(self, name: str, settings: Json, held: _Held) -> None:
        """Deliver a message again, as at-least-once delivery may, if a fault plan says so."""
        facts = {
            "subscription": short_name(name),
            "topic": short_name(settings["topic"]),
            "messageId": held.message.id,
        }
        fault = self._faults.take(PUSHED, facts)
        if fault is None:
            return
        when = self._clock.now() + float(fault.args.get("after", 0))
        copies = [_Held(held.message, when, copy=True) for _ in range(fault.args.get("copies", 1))]
        self._backlogs[name] += copies
        self._clock.call_at(when, lambda: self.wake(name))

    def _work(self) -> None:
        while (push := self._pushes.get()) is not None and not self._closed:
            name, held = push
            settings = self._subscription(name)
            acknowledged = False
            try:
                if settings is not None and settings["pushConfig"]:
                    acknowledged = self._push(settings, held.message)
            except Exception as error:  # noqa: BLE001  a bug of localcloud's must not end the deliveries
                self._on_error(f"a push to {name}", error)
            self._settle(name, held, acknowledged=acknowledged)

    def _settle(self, name: str, held: _Held, *, acknowledged: bool) -> None:
        with self._changed:
            self._under_way.pop(held, None)
            self._changed.notify_all()
            settings = self._subscription(name)
            backlog = self._backlogs.get(name, [])
            if settings is None or held not in backlog:
                return
            if acknowledged:
                backlog.remove(held)
            else:
                self._retry_after(name, held, retry_delay(settings["retryPolicy"], held.attempts))


def retry_delay(policy: Json, attempts: int) -> float:
    """Return the seconds from a failed push to the next one, by a `RetryPolicy`; `attempts` counts those made."""
    least, most = seconds(policy["minimumBackoff"]), seconds(policy["maximumBackoff"])
    return min(most, least * 2.0 ** min(max(attempts - 1, 0), _MAX_DOUBLINGS))


def _check_ack_ids(ack_ids: Sequence[str]) -> None:
    for ack_id in ack_ids:
        if not _ACK_ID.fullmatch(ack_id):
            raise bad_ack_id(ack_id)
