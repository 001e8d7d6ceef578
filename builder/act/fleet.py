"""The VMs of a run, from before each is asked for until its end is confirmed: nothing is created that is not here first."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from builder.act.waiting import Cancellation, WaitTimeout, poll
from builder.errors import Interrupted
from builder.ports import CallFailed, Clock, Instance, Machines
from builder.vm_spec import NONCE_LABEL, Attempt

TEARDOWN_BUDGET = 180.0  # seconds for one VM's deletion with all its repetitions
LATE_INSERT_BUDGET = 120.0  # seconds in which a VM may still appear whose insert was never answered
_PAUSE = 2.0
_HURRY = 3.0  # seconds that a signal leaves for deletes to be accepted


class Ending(Enum):
    """How sure we are of a VM's end."""

    OPEN = "open"
    GONE = "gone"
    DEADLINE = "left to its own deadline"
    UNKNOWN = "unknown"


@dataclass
class Vm:
    """One VM of ours, maybe not created yet. `terminates` is what Compute Engine says of its deadline."""

    name: str
    zone: str
    attempt: Attempt
    max_run_seconds: int
    requested: bool = False  # an insert was sent
    answered: bool = False  # ... and its outcome is known
    ending: Ending = Ending.OPEN
    terminates: str = ""
    trouble: str = ""
    deletes: int = field(default=0)

    def delete_command(self, project: str) -> str:
        """What to type where we could not do it."""
        return f"gcloud compute instances delete {self.name} --zone={self.zone} --project={project} --quiet"


class Fleet:
    """All VMs of this process, shared between its threads."""

    def __init__(self, machines: Machines, clock: Clock, cancellation: Cancellation) -> None:
        self.machines = machines
        self._clock = clock
        self._cancellation = cancellation
        self._lock = threading.Lock()
        self._vms: list[Vm] = []

    @contextmanager
    def requesting(self, vm: Vm) -> Iterator[None]:
        """Register a VM, then let its insert be sent; refuses once the run is cancelled."""
        with self._lock:
            self._cancellation.check()
            self._vms.append(vm)
            vm.requested = True
        yield

    def disown(self, vm: Vm) -> None:
        """Forget a VM that turned out to be somebody else's: never touch it."""
        with self._lock:
            self._vms.remove(vm)

    def take_down(self, vm: Vm) -> Ending:
        """Delete a VM and confirm it by a 404; where that fails, by the deadline that it carries itself."""
        try:
            budget = TEARDOWN_BUDGET if vm.answered else TEARDOWN_BUDGET + LATE_INSERT_BUDGET
            poll(
                lambda: self._delete_once(vm),
                what=f"deletion of {vm.name}",
                interval=_PAUSE,
                deadline=budget,
                clock=self._clock,
            )
            vm.ending = Ending.GONE
        except WaitTimeout:
            vm.ending = self._read_deadline(vm)
        return vm.ending

    def _delete_once(self, vm: Vm) -> bool | None:
        """True once the VM is gone; None to try again."""
        vm.deletes += 1
        try:
            request_id = vm.attempt.request_id(f"delete-{vm.deletes}", vm.zone, vm.name)
            operation = self.machines.delete(vm.zone, vm.name, request_id=request_id)
            if operation is None:
                return self._is_gone_for_good(vm)
            vm.answered = True
            while not operation.done:
                operation = self.machines.operation(vm.zone, operation.name)
            if operation.errors:
                vm.trouble = f"{operation.errors[0].code}: {operation.errors[0].message}"
                return None
            return True if self.machines.get(vm.zone, vm.name) is None else None
        except CallFailed as failure:
            vm.trouble = str(failure)
            return None

    def _is_gone_for_good(self, vm: Vm) -> bool | None:
        # A 404 ends the matter only when the insert was answered: an unanswered one may still create the VM.
        if vm.answered:
            return True
        try:
            poll(
                lambda: self.machines.get(vm.zone, vm.name),
                what=f"late appearance of {vm.name}",
                interval=_PAUSE,
                deadline=LATE_INSERT_BUDGET,
                clock=self._clock,
            )
        except WaitTimeout:
            return True
        vm.answered = True
        return None

    def _read_deadline(self, vm: Vm) -> Ending:
        try:
            instance = self.machines.get(vm.zone, vm.name)
        except CallFailed as failure:
            vm.trouble = str(failure)
            return Ending.UNKNOWN
        if instance is None:
            return Ending.GONE
        vm.terminates = instance.terminates
        return Ending.DEADLINE if instance.terminates else Ending.UNKNOWN

    def abandon(self) -> None:
        """On a signal: send every delete that is due and leave; the VMs' own deadlines cover the rest."""
        started = self._clock.monotonic()
        waiting = [vm for vm in self.open() if vm.requested]
        threads = [
            threading.Thread(target=self._send_delete, args=(vm, started), daemon=True) for vm in waiting
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.1, _HURRY - (self._clock.monotonic() - started)))

    def _send_delete(self, vm: Vm, started: float) -> None:
        # The insert may be on its way at this moment, so a 404 is asked again while there is time.
        while self._clock.monotonic() - started < _HURRY:
            vm.deletes += 1
            try:
                request_id = vm.attempt.request_id(f"delete-{vm.deletes}", vm.zone, vm.name)
                operation = self.machines.delete(vm.zone, vm.name, request_id=request_id)
            except CallFailed as failure:
                vm.trouble = str(failure)
            except Interrupted:
                return
            else:
                if operation is not None or vm.answered:
                    vm.ending = Ending.GONE
                    return
            threading.Event().wait(0.2)

    def open(self) -> Sequence[Vm]:
        """The VMs whose end is not confirmed."""
        with self._lock:
            return [vm for vm in self._vms if vm.ending is not Ending.GONE]


def is_own(instance: Instance, attempt: Attempt) -> bool:
    """Whether an instance of our name is really ours: it carries this attempt's nonce."""
    return instance.labels.get(NONCE_LABEL) == attempt.nonce
