"""Operations of zones and regions: the answer to every change, and its result."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.services.compute.links import link

if TYPE_CHECKING:
    from localcloud.core.clock import Clock

Json = dict[str, Any]

# The longest wait of zoneOperations.wait: Google's two minutes of the virtual clock, or a few real seconds
# (each waiting call occupies a thread).
MAX_WAIT_SECONDS = 120.0
MAX_REAL_WAIT_SECONDS = 5.0
# The longest time until a waiting call sees a moved clock; a finished operation wakes it at once.
_GLANCE = 0.5
# Done operations are kept for up to 14 days (docs/facts.md 1.7).
_KEPT = 14 * 86400.0


@dataclass(frozen=True)
class Failure:
    """The error of a failed operation. `http_status` and `http_message` are left out where Google leaves them out."""

    code: str
    message: str
    http_status: int | None = None
    http_message: str | None = None
    details: Sequence[Json] = ()

    def error(self) -> Json:
        """Return it as an entry of `Operation.error.errors`."""
        entry: Json = {"code": self.code, "message": self.message}
        return entry | {"errorDetails": list(self.details)} if self.details else entry


@dataclass(eq=False)
class Operation:
    """One operation on one resource. `place` is its "zones/Z" or "regions/R". Changed only by `Operations`."""

    name: str
    id: str
    kind: str
    project: str
    place: str
    target: str
    target_id: str
    user: str
    inserted: float
    client_id: str | None = None
    status: str = "PENDING"
    started: float | None = None
    ended: float | None = None
    failure: Failure | None = None

    @property
    def parent(self) -> str:
        """The path of its zone or region."""
        return f"projects/{self.project}/{self.place}"


def new_id() -> str:
    """Return a resource id: a decimal number of 19 digits, as text."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


class Operations:
    """All operations. `changed` is the condition of the whole service, whose lock guards the state."""

    def __init__(self, clock: Clock, changed: threading.Condition) -> None:
        self._clock = clock
        self._changed = changed
        self._all: dict[str, Operation] = {}
        self._requests: dict[tuple[str, ...], Operation] = {}

    def open(
        self,
        kind: str,
        target: tuple[str, str, str, str],
        user: str,
        *,
        request: tuple[str, ...] = (),
    ) -> Operation:
        """Record a new operation on a target (project, "zones/Z" or "regions/R", resource path, id).

        `request` is the key by which a repeated request is known; its last part is the requestId.
        """
        now = self._clock.now()
        name = f"operation-{int(now * 1000)}-{secrets.token_hex(7)[:13]}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
        project, place, path, target_id = target
        operation = Operation(name, new_id(), kind, project, place, path, target_id, user, now)
        with self._changed:
            self._forget(now)
            self._all[name] = operation
            if request:
                operation.client_id = request[-1]
                self._requests[request] = operation
        return operation

    def replayed(self, request: tuple[str, ...]) -> Operation | None:
        """Return the operation of an earlier request with the same key."""
        with self._changed:
            return self._requests.get(request)

    def run(self, operation: Operation) -> None:
        """PENDING to RUNNING."""
        with self._changed:
            if operation.status == "PENDING":
                operation.status, operation.started = "RUNNING", self._clock.now()

    def finish(self, operation: Operation, failure: Failure | None = None) -> None:
        """Make it DONE, for good; a second call changes nothing."""
        with self._changed:
            if operation.status == "DONE":
                return
            self.run(operation)
            operation.status, operation.ended, operation.failure = "DONE", self._clock.now(), failure
            self._changed.notify_all()

    def find(self, place: str, name: str) -> Operation | None:
        """Return an operation of "projects/P/zones/Z" or "projects/P/regions/R" by its name or id."""
        with self._changed:
            named = self._all.get(name)
            found = named or next((o for o in self._all.values() if o.id == name), None)
            return found if found is not None and found.parent == place else None

    def of(self, place: str) -> list[Json]:
        """Return the operations of "projects/P/zones/Z" or "projects/P/regions/R" in Google's form."""
        with self._changed:
            self._forget(self._clock.now())
            return [self.view(o) for o in self._all.values() if o.parent == place]

    def wait(self, operation: Operation) -> None:
        """Block until it is DONE, for two minutes of the virtual clock or a few real seconds at most."""
        virtual, real = self._clock.now() + MAX_WAIT_SECONDS, time.monotonic() + MAX_REAL_WAIT_SECONDS
        with self._changed:
            while operation.status != "DONE" and self._clock.now() < virtual:
                left = real - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, _GLANCE))

    def view(self, operation: Operation) -> Json:
        """Return it as Google prints it."""
        printed: Json = {
            "kind": "compute#operation",
            "id": operation.id,
            "name": operation.name,
            operation.place.partition("s/")[0]: link(operation.parent),
            "operationType": operation.kind,
            "targetLink": link(operation.target),
            "targetId": operation.target_id,
            "status": operation.status,
            "user": operation.user,
            "progress": {"PENDING": 0, "RUNNING": 50, "DONE": 100}[operation.status],
            "insertTime": self._clock.timestamp(operation.inserted),
            "selfLink": link(f"{operation.parent}/operations/{operation.name}"),
        }
        for key, value in (
            ("startTime", operation.started and self._clock.timestamp(operation.started)),
            ("endTime", operation.ended and self._clock.timestamp(operation.ended)),
            ("clientOperationId", operation.client_id),
        ):
            if value:
                printed[key] = value
        return printed | _failure_view(operation.failure)

    def _forget(self, now: float) -> None:
        old = {o.name for o in self._all.values() if o.ended is not None and o.ended < now - _KEPT}
        if old:
            self._all = {name: o for name, o in self._all.items() if name not in old}
            self._requests = {key: o for key, o in self._requests.items() if o.name not in old}


def _failure_view(failure: Failure | None) -> Json:
    if failure is None:
        return {}
    printed: Json = {"error": {"errors": [failure.error()]}}
    if failure.http_status is not None:
        printed["httpErrorStatusCode"] = failure.http_status
    if failure.http_message is not None:
        printed["httpErrorMessage"] = failure.http_message
    return printed
