"""Lets one run carry out an event. The run owns an object, which it creates, renews while it works, and marks as done.

Pub/Sub can deliver a message twice, and a build can be repeated or killed. A run that finds the object of a living run
ends as a duplicate. If the object does not change, its owner is dead, and the run takes the event over. Each write
names the generation that it replaces, so two runs cannot both succeed. A run measures ages on its own monotonic clock,
and compares no clocks.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from builder.errors import BuilderError, EnvironmentFailed, Interrupted
from builder.model import GcsLocation
from builder.ports import CallFailed, Clock, ObjectStore
from builder.strict_json import read_document
from builder.waiting import WaitTimeout, poll

# The age at which a renewal proves that its owner is dead: one write with its repetitions takes no longer.
STILL_SECONDS = 120.0
_RENEW_SECONDS = 20.0
# The highest age of a renewal at which the owner may begin an action. One try of a call takes up to twice its timeout,
# to connect and to be answered. So an action takes effect within 100 s after a renewal, and a takeover happens after
# 120 s at the earliest.
_FRESH_SECONDS = 40.0
_RENEWALS = 3  # repetitions of a renewal that took so long that it was too old when it ended
_LOOK_SECONDS = 2.0
_RUNNING, _DONE = "running", "done"
_SCHEMA = 1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The run that has the event, and its verdict: green, red, or "" while it works."""

    run: str
    verdict: str


@dataclass(frozen=True)
class _LockState:
    """The lock object at one generation."""

    generation: int
    owner: str
    done: bool
    holder: Holder


class EventLock:
    """The lock of one event, held during the `with` block.

    `former` is the dead run from which it was taken over, if any.

    `stop` is called once, from any thread, with the error in `lost`, if another run has taken the event over.
    """

    def __init__(
        self,
        store: ObjectStore,
        location: GcsLocation,
        event: str,
        *,
        clock: Clock,
        stop: Callable[[BuilderError], None],
        report: Callable[[str], None],
    ) -> None:
        self.object = location.object("locks", event)
        self.former = ""
        self.lost: BuilderError | None = None
        self._store = store
        self._event = event
        self._clock = clock
        self._stop = stop
        self._report = report
        self._owner = secrets.token_hex(8)
        self._run = ""
        self._generation = 0
        self._renewals = 0
        self._renewed = 0.0
        self._finished = False
        self._stale = False  # the object does not have the run's final id yet
        self._writing = threading.Lock()
        self._confirming = threading.Lock()  # one job renews for all of them
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="event", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        self._over.set()
        # A run that could not begin is red. A run that a signal ended has no verdict, and can be repeated.
        if isinstance(error, Exception) and self._generation:
            self.finish("red")

    def take(self, wanted_run: str) -> Holder | None:
        """Take the event for a run. Returns None, or the other run that has the event. Raises CallFailed."""
        self._run = wanted_run
        while not self._create():
            current = self._living()
            if current is not None:
                return current.holder
            if self._generation:
                break  # taken over
        self._thread.start()
        return None

    def hold(self, run: str) -> None:
        """Set the run's final id. The object has it before the run has a VM, since `confirm` comes first."""
        with self._writing:
            self._run, self._stale = run, True

    def confirm(self) -> None:
        """Make sure that this run has the event, before each try of an action that only the owner may take.

        A run that was suspended learns here that another run has taken over. Raises CallFailed, and Interrupted if the
        event is lost.
        """
        with self._confirming:
            # A renewal's age counts from its beginning: its first try may have had the effect that only its last try
            # reports.
            for _ in range(_RENEWALS):
                self._check()
                if not self._stale and self._age() <= _FRESH_SECONDS:
                    return
                self._renew()
        self._check()
        if self._age() > _FRESH_SECONDS:
            raise self._slow()

    def _age(self) -> float:
        """Return the seconds since our last renewal began."""
        return self._clock.monotonic() - self._renewed

    def _slow(self) -> CallFailed:
        return CallFailed(
            call="storage.objects.insert",
            resource=f"gs://{self._store.bucket}/{self.object}",
            code="slow",
            message=f"no write was answered within {_FRESH_SECONDS:.0f} s, so another run may have the event by now",
            transient=True,
        )

    def finish(self, verdict: str) -> None:
        """Mark the event as done, green or red. Raises Interrupted if it is lost; a failed call is only reported."""
        try:
            self._renew(_DONE, verdict)
        except CallFailed as failure:
            self._report(f"warning: the event could not be marked as done, and can be repeated: {failure}")
        self._check()

    def _living(self) -> _LockState | None:
        """Return the lock of a run that is done or alive.

        None: we have taken it over, it was deleted at this moment, or another run was faster.
        """
        current = self._read()
        if current is None or current.done:
            return current
        run = current.holder.run
        self._report(
            f"run {run} has event {self._event}; waiting up to {STILL_SECONDS:.0f} s for it to renew its lock"
        )
        later = self._sign_of_life(current.generation)
        if later is None and self._take_over(current):
            self._report(f"run {run} does not renew its lock: this run takes over event {self._event}")
        return later

    def _check(self) -> None:
        if self.lost is not None:
            raise Interrupted(self.lost)

    def _create(self) -> bool:
        began = self._clock.monotonic()
        made = self._store.create(self.object, self._content(), content_type="application/json")
        return made is not None and self._own(made.generation, began)

    def _take_over(self, current: _LockState) -> bool:
        began = self._clock.monotonic()
        # Until our run has an id, the object names the run whose VMs may still exist.
        content = self._content(run=current.holder.run)
        written = self._store.swap(
            self.object, content, generation=current.generation, content_type="application/json"
        )
        if written is None:
            return False
        self._run = self.former = current.holder.run
        return self._own(written.generation, began)

    def _own(self, generation: int, began: float) -> bool:
        self._generation, self._renewed, self._stale = generation, began, False
        return True

    def _sign_of_life(self, generation: int) -> _LockState | None:
        """Return the lock as soon as its generation differs; None if it does not change."""

        def newer() -> _LockState | None:
            found = self._store.read_newer(self.object, generation)
            return None if found is None else _read(*found)

        try:
            return poll(
                newer,
                what=f"a sign of life in {self.object}",
                interval=_LOOK_SECONDS,
                deadline=STILL_SECONDS,
                clock=self._clock,
            )
        except WaitTimeout:
            return None

    def _read(self) -> _LockState | None:
        found = self._store.read_newer(self.object, 0)
        return None if found is None else _read(*found)

    def _keep_renewing(self) -> None:
        while not self._over.wait(_RENEW_SECONDS) and self.lost is None:
            try:
                self._renew()
            except (CallFailed, Interrupted) as failure:  # the next renewal may succeed
                _logger.info("the event's object: %s", failure)
            except Exception as error:
                # Without this thread, a run that lives would lose its event.
                _logger.exception("the event's object")
                self._report(
                    f"warning: because of a bug in Notebook Builder ({type(error).__name__}), this run did not renew its lock on "
                    f"event {self._event}. If this continues, another run can take the event over."
                )

    def _renew(self, state: str = _RUNNING, verdict: str = "") -> None:
        """Replace the object that we wrote last; set `lost` if another run has replaced it. Raises CallFailed."""
        with self._writing:
            if self._finished or self.lost is not None:
                return
            began = self._clock.monotonic()
            content = self._content(state, verdict)
            current: _LockState | None = None
            written = self._store.swap(
                self.object, content, generation=self._generation, content_type="application/json"
            )
            if written is None:
                current = self._read()
                if current is not None and current.owner == self._owner:
                    # An earlier write of ours was reported as failed, but had its effect.
                    written = self._store.swap(
                        self.object, content, generation=current.generation, content_type="application/json"
                    )
            if written is None:
                self._lose(current)
                return
            self._own(written.generation, began)
            self._finished = state == _DONE

    def _lose(self, current: _LockState | None) -> None:
        now = f"run {current.holder.run} has it now" if current else "its object was removed"
        self.lost = EnvironmentFailed(
            f"Run {self._run} renewed its lock too late and lost event {self._event}: {now}.",
            reason="event_lost",
            advice="Look at that run's results; this one's VMs are deleted, and nothing more is published.",
        )
        self._stop(self.lost)

    def _content(self, state: str = _RUNNING, verdict: str = "", *, run: str = "") -> bytes:
        self._renewals += 1
        document = {
            "schema": _SCHEMA,
            "event": self._event,
            "run": run or self._run,
            "owner": self._owner,
            "renewal": self._renewals,
            "state": state,
            **({"verdict": verdict} if verdict else {}),
        }
        return json.dumps(document).encode()


def _read(content: bytes, generation: int) -> _LockState:
    """Return the lock in `content`. One that cannot be read has no owner, and counts as running."""
    try:
        document = read_document(content, _SCHEMA)
        holder = Holder(str(document["run"]), str(document.get("verdict", "")))
        return _LockState(generation, str(document["owner"]), document["state"] == _DONE, holder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _logger.warning("the lock of an event cannot be read (%s): its run counts as running", error)
        return _LockState(generation, "", done=False, holder=Holder("unknown", ""))
