"""A VM of a run: its identity, and one snapshot of what is known of its life, which threads replace under a lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from builder.options import MachineOptions
from builder.plan.vm_spec import STANDARD, Attempt


class Ending(Enum):
    """The certainty of a VM's end."""

    OPEN = "open"
    GONE = "gone"
    DEADLINE = "left to its own deadline"
    UNKNOWN = "unknown"


class Insert(Enum):
    """The state of the request that creates a VM."""

    UNSENT = "not sent"
    SENT = "sent: the VM can still appear, so a 404 proves nothing"
    FINAL = "the outcome is final: a 404 now proves deletion"
    REFUSED = "refused: there never was a VM"

    @property
    def is_final(self) -> bool:
        """True if no VM can appear any more."""
        return self in {Insert.FINAL, Insert.REFUSED}


@dataclass(frozen=True)
class VmState:
    """The known state of a VM at one moment.

    `operation`: the insert's, once known. `contested`: the name was taken, so the VM is not ours to delete until its
    nonce proves it. `missing_since`: the time of the first 404 while the insert was not final. `terminates`: Compute
    Engine's own time for the VM's end. `trouble`: why the last deletion failed. `deletes`: the number of delete
    requests.
    """

    insert: Insert = Insert.UNSENT
    operation: str = ""
    contested: bool = False
    missing_since: float | None = None
    ending: Ending = Ending.OPEN
    terminates: str = ""
    trouble: str = ""
    deletes: int = 0


@dataclass(eq=False)
class Vm:
    """One VM of ours, perhaps not created yet. `spec` is None, and `max_run_seconds` 0, for a VM of an earlier run.

    Placement, teardown and a cancelled run change its state from threads of their own.
    """

    name: str
    zone: str
    attempt: Attempt
    max_run_seconds: int = 0
    model: str = STANDARD  # Compute Engine's provisioning model
    spec: MachineOptions | None = None
    _state: VmState = field(default_factory=VmState, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def state(self) -> VmState:
        """The current snapshot."""
        return self._state

    def update(self, **changes: Any) -> VmState:
        """Replace the named fields of the state; return the new state."""
        with self._lock:
            self._state = replace(self._state, **changes)
            return self._state

    def count_delete(self) -> int:
        """Return the number of the next delete request, from 1."""
        with self._lock:
            self._state = replace(self._state, deletes=self._state.deletes + 1)
            return self._state.deletes

    def delete_command(self, project: str) -> str:
        """Return the command that deletes the VM by hand."""
        return f"gcloud compute instances delete {self.name} --zone={self.zone} --project={project} --quiet"
