"""What is to be carried out, and how a step of it fails. Values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.faults import Fault
from localcloud.functions.operations import Operation, Stage

Json = dict[str, Any]


class StepFailed(Exception):
    """A step of an operation fails: with a code of google.rpc, and a message. `kind` is the type of its state message."""

    def __init__(self, stage: Stage, code: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.code = code
        self.message = message
        self.problem: Json = {"severity": "ERROR", "type": kind, "message": message}


@dataclass(frozen=True)
class Work:
    """One operation to carry out, on the function as its record shows it; `who` asked for it."""

    operation: Operation
    name: str
    who: str
    fault: Fault | None
