"""An operation under way, and the failure of a step of it. Values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.core.faults import Fault
from localcloud.services.functions.state_operations import Operation

Json = dict[str, Any]


class StepFailed(Exception):
    """A step of an operation failed: a code of google.rpc, a message, and the `kind` of its state message."""

    def __init__(self, code: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problem: Json = {"severity": "ERROR", "type": kind, "message": message}


@dataclass(frozen=True)
class Work:
    """One operation on the function of a record."""

    operation: Operation
    name: str
    fault: Fault | None
