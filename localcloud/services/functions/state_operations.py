"""Long-running operations: the answer to every change, with its result."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from localcloud.core.clock import Clock
from localcloud.core.times import timestamp

Json = dict[str, Any]
Verb = Literal["create", "update", "delete"]

_V2 = "type.googleapis.com/google.cloud.functions.v2"
_EMPTY = "type.googleapis.com/google.protobuf.Empty"
# The numbers of google.rpc.Code that a fault plan may name.
CODES = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}


@dataclass(eq=False)
class Operation:
    """One change of one function. Changed only by `Operations`; times in seconds since the epoch."""

    name: str
    target: str
    verb: Verb
    request: Json
    created: float
    ended: float | None = None
    outcome: Json = field(default_factory=dict)


class Operations:
    """All operations since localcloud was started; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[str, Operation] = {}

    def open(self, verb: Verb, target: str, request: Json) -> Operation:
        """Record a new operation on a function."""
        now = self._clock.now()
        parent = target.partition("/functions/")[0]
        parts = (secrets.token_hex(7)[:13], secrets.token_hex(4), secrets.token_hex(4))
        name = f"{parent}/operations/operation-{int(now * 1000)}-{'-'.join(parts)}"
        operation = Operation(name, target, verb, request, now)
        with self._lock:
            self._all[name] = operation
        return operation

    def succeed(self, operation: Operation, function: Json | None) -> None:
        """End it with the present function, or with nothing if that is deleted."""
        response = {"@type": _EMPTY} if function is None else {"@type": f"{_V2}.Function", **function}
        self._end(operation, {"response": response})

    def fail(self, operation: Operation, code: int, message: str) -> None:
        """End it with an error of google.rpc."""
        self._end(operation, {"error": {"code": code, "message": message}})

    def find(self, name: str) -> Json | None:
        """Return an operation in Google's form; None for an unknown name."""
        with self._lock:
            operation = self._all.get(name)
            return None if operation is None else _view(operation)

    def view(self, operation: Operation) -> Json:
        """Return it in Google's form."""
        with self._lock:
            return _view(operation)

    def _end(self, operation: Operation, outcome: Json) -> None:
        with self._lock:
            operation.ended, operation.outcome = self._clock.now(), outcome


def _view(operation: Operation) -> Json:
    metadata: Json = {
        "@type": f"{_V2}.OperationMetadata",
        "createTime": timestamp(operation.created),
        "target": operation.target,
        "verb": operation.verb,
        "cancelRequested": False,
        "apiVersion": "v2",
        "operationType": f"{operation.verb.upper()}_FUNCTION",
    }
    if operation.request:
        metadata["requestResource"] = {"@type": f"{_V2}.Function", **operation.request}
    if operation.ended is not None:
        metadata["endTime"] = timestamp(operation.ended)
    printed: Json = {"name": operation.name, "metadata": metadata, "done": operation.ended is not None}
    return printed | operation.outcome
