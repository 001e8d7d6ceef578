"""One run per event: an object that an event's first run creates, writes anew while it works, and marks as done at its end.

Messages are delivered twice, builds started again, builders killed. Who finds the object standing ends as a duplicate; where it
stands still, its owner is dead, and it is taken over. Each write goes over exactly the generation that was seen, so of two there is
one; how long it stood still is measured by the own monotonic clock alone, and no machine's clock is compared with another's.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from builder.act.waiting import STOPPED, WaitTimeout, poll
from builder.errors import BuilderError, EnvironmentFailed, Interrupted
from builder.model import GcsLocation
from builder.ports import CallFailed, Clock, ObjectStore
from builder.stored_json import read_object

# How long the object may stand still: as long as the repetitions of one write may take.
STILL_SECONDS = 120.0
_RENEW_SECONDS = 20.0
# How old a renewal may be when something is begun that only the owner may. One try of a call may last for twice its timeout, to
# connect and to be answered, so nothing begun then takes effect later than 100 s after a renewal, and nobody takes over before 120.
_FRESH_SECONDS = 40.0
_RENEWALS = 3  # how often a renewal is begun anew that took so long that it was old when it was done
_LOOK_SECONDS = 2.0
_RUNNING, _DONE = "running", "done"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Whose the event is: its run, and how that ended: green, red, or "" while it works."""

    run: str
    verdict: str


@dataclass(frozen=True)
class _Standing:
    """The object as it was found."""

    generation: int
    owner: str
    done: bool
    holder: Holder


class EventLock:
    """The event's object, held while the `with` block lasts. `former` is the run of a dead owner that it was taken over from.

    `stop` is called once, from any thread, when the event turns out to be another run's: `lost` says so then.
    """

    def __init__(
        self,
        store: ObjectStore,
        location: GcsLocation,
        event: str,
        *,
        clock: Clock,
        stop: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.object = location.object("locks", event)
        self.former = ""
        self.lost: BuilderError | None = None
        self._store = store
        self._event = event
        self._clock = clock
        self._stop = stop
        self._tell = tell
        self._owner = secrets.token_hex(8)
        self._run = ""
        self._generation = 0
        self._renewals = 0
        self._renewed = 0.0
        self._finished = False
        self._stale = False  # the object does not say yet how the run is called
        self._writing = threading.Lock()
        self._confirming = threading.Lock()  # of many jobs one asks, for all of them
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="event", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # A run that could not begin has ended red; one that a signal ended has no verdict, and may be done again.
        if isinstance(error, Exception) and self._generation:
            self.finish("red")

    def take(self, wanted_run: str) -> Holder | None:
        """None: the event is ours, for a run that is to be called so. Else whose it is. Raises CallFailed."""
        self._run = wanted_run
        while not self._create():
            standing = self._living()
            if standing is not None:
                return standing.holder
            if self._generation:
                break  # taken over
        self._thread.start()
        return None

    def hold(self, run: str) -> None:
        """How the run is really called; the object says so before the run has any VM, since `confirm` comes first."""
        with self._writing:
            self._run, self._stale = run, True

    def confirm(self) -> None:
        """Make sure that the event is ours, before each try of anything that only its owner may do.

        A run that was suspended for long learns here that it was thought dead. Raises CallFailed, and Interrupted where the event is lost.
        """
        with self._confirming:
            # A renewal counts from when it was begun: of its tries the first may have had its effect, and the last have told of it.
            for _ in range(_RENEWALS):
                self._check()
                if not self._stale and self._age() <= _FRESH_SECONDS:
                    return
                self._renew()
        self._check()
        if self._age() > _FRESH_SECONDS:
            raise self._slow()

    def _age(self) -> float:
        """Seconds since our last renewal was begun."""
        return self._clock.monotonic() - self._renewed

    def _slow(self) -> CallFailed:
        return CallFailed(
            call="storage.objects.insert",
            resource=f"gs://{self._store.bucket}/{self.object}",
            code="slow",
            message=f"no write was answered within {_FRESH_SECONDS:.0f} s, so the event may be another run's by now",
            transient=True,
        )

    def finish(self, verdict: str) -> None:
        """Mark the event as done, green or red. Raises Interrupted where it is lost; a call that fails is only told."""
        try:
            self._renew(_DONE, verdict)
        except CallFailed as failure:
            self._tell(
                f"warning: the event could not be marked as done, and may be carried out again: {failure}"
            )
        self._check()

    def _living(self) -> _Standing | None:
        """The object of a run that is done, or that gives a sign of life.

        None where there is none: it was taken over, or went in this moment, or somebody else was faster to take it.
        """
        standing = self._read()
        if standing is None or standing.done:
            return standing
        run = standing.holder.run
        self._tell(
            f"event {self._event} is run {run}'s; waiting {STILL_SECONDS:.0f} s at the most for its sign of life"
        )
        later = self._sign_of_life(standing.generation)
        if later is None and self._take_over(standing):
            self._tell(f"run {run} gave none: event {self._event} is taken over from it")
        return later

    def _check(self) -> None:
        if self.lost is not None:
            raise Interrupted(STOPPED)

    def _create(self) -> bool:
        began = self._clock.monotonic()
        made = self._store.create(self.object, self._content(), content_type="application/json")
        return made is not None and self._own(made.generation, began)

    def _take_over(self, standing: _Standing) -> bool:
        began = self._clock.monotonic()
        # Until our run has a name, the object says whose VMs may still be there.
        content = self._content(run=standing.holder.run)
        written = self._store.swap(
            self.object, content, generation=standing.generation, content_type="application/json"
        )
        if written is None:
            return False
        self._run = self.former = standing.holder.run
        return self._own(written.generation, began)

    def _own(self, generation: int, began: float) -> bool:
        self._generation, self._renewed, self._stale = generation, began, False
        return True

    def _sign_of_life(self, generation: int) -> _Standing | None:
        """The object as soon as it is another one than this; None if it stands still."""

        def newer() -> _Standing | None:
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

    def _read(self) -> _Standing | None:
        found = self._store.read_newer(self.object, 0)
        return None if found is None else _read(*found)

    def _keep_renewing(self) -> None:
        while not self._over.wait(_RENEW_SECONDS) and self.lost is None:
            try:
                self._renew()
            except (CallFailed, Interrupted) as failure:  # the next one may get through
                _logger.info("the event's object: %s", failure)

    def _renew(self, state: str = _RUNNING, verdict: str = "") -> None:
        """Write the object anew over what we wrote last; where it is not ours any more, `lost` is set. Raises CallFailed."""
        with self._writing:
            if self._finished or self.lost is not None:
                return
            began = self._clock.monotonic()
            content = self._content(state, verdict)
            standing: _Standing | None = None
            written = self._store.swap(
                self.object, content, generation=self._generation, content_type="application/json"
            )
            if written is None:
                standing = self._read()
                if standing is not None and standing.owner == self._owner:
                    # An earlier write of ours had its effect, though we were told that it failed.
                    written = self._store.swap(
                        self.object, content, generation=standing.generation, content_type="application/json"
                    )
            if written is None:
                self._lose(standing)
                return
            self._own(written.generation, began)
            self._finished = state == _DONE

    def _lose(self, standing: _Standing | None) -> None:
        now = f"run {standing.holder.run}'s" if standing else "nobody's: its object was removed"
        self.lost = EnvironmentFailed(
            f"Run {self._run} was thought dead, and event {self._event} is {now} now.",
            reason="event_lost",
            advice="Look at that run's results; this one's VMs are deleted, and nothing more is published.",
        )
        self._stop()

    def _content(self, state: str = _RUNNING, verdict: str = "", *, run: str = "") -> bytes:
        self._renewals += 1
        document = {
            "schema": 1,
            "event": self._event,
            "run": run or self._run,
            "owner": self._owner,
            "renewal": self._renewals,
            "state": state,
            **({"verdict": verdict} if verdict else {}),
        }
        return json.dumps(document).encode()


def _read(content: bytes, generation: int) -> _Standing:
    """What the object says; one that cannot be read is nobody's, and counts as running."""
    try:
        document = read_object(content)
        holder = Holder(str(document["run"]), str(document.get("verdict", "")))
        return _Standing(generation, str(document["owner"]), document["state"] == _DONE, holder)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Standing(generation, "", done=False, holder=Holder("unknown", ""))
