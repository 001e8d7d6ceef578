"""The VMs of a run, from before each is asked for until its end is confirmed: nothing is created that is not here first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from builder.act.waiting import Cancellation, WaitTimeout, poll
from builder.errors import Interrupted
from builder.plan.vm_spec import NONCE_LABEL, STANDARD, Attempt, VmSpec
from builder.ports import CallFailed, Clock, Instance, Machines, Operation

TEARDOWN_BUDGET = 180.0  # seconds for one VM's deletion with all its repetitions
LATE_INSERT_BUDGET = 120.0  # seconds in which a VM may still appear whose insert was never answered
_PAUSE = 2.0
_HURRY = 3.0  # seconds that a signal leaves for deletes to be accepted
_HURRIED_PAUSE = 0.2
_FORBIDDEN = 403


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
    model: str = STANDARD  # Compute Engine's provisioning model
    spec: VmSpec | None = None  # None: a VM of an earlier run
    requested: bool = False  # an insert was sent
    operation: str = ""  # the insert's operation, once that is known
    settled: bool = False  # the insert has had its effect, or never will: from now on a 404 means gone
    refused: bool = False  # the insert was refused outright: there never was a VM
    contested: bool = False  # the name was taken: not ours to delete until its nonce says so
    missing_since: float | None = None  # when a VM whose insert is not settled was first not found
    ending: Ending = Ending.OPEN
    terminates: str = ""
    trouble: str = ""
    deletes: int = 0

    def delete_command(self, project: str) -> str:
        """What to type where we could not do it."""
        return f"gcloud compute instances delete {self.name} --zone={self.zone} --project={project} --quiet"


class Fleet:
    """All VMs of this process, shared between its threads."""

    def __init__(
        self,
        machines: Machines,
        clock: Clock,
        cancellation: Cancellation,
        note: Callable[[Vm], None] = lambda _vm: None,
        permit: Callable[[], None] = lambda: None,
    ) -> None:
        """`note` hears of each VM just before it is requested, and again when its end is confirmed.

        `permit` is asked before each request for a VM and each try of it, and raises where there may be no VM any more.
        """
        self.machines = machines
        self.permit = permit
        self._note = note
        self._clock = clock
        self._cancellation = cancellation
        self._lock = threading.Lock()
        self._vms: list[Vm] = []

    @contextmanager
    def requesting(self, vm: Vm) -> Iterator[None]:
        """Register a VM, then let its insert be sent; refuses once the run is cancelled."""
        self.permit()
        with self._lock:
            self._cancellation.check()
            self._vms.append(vm)
            vm.requested = True
        self._note(vm)
        yield

    def disown(self, vm: Vm) -> None:
        """Forget a VM that turned out to be somebody else's: never touch it."""
        with self._lock:
            vm.requested = False
            self._vms = [known for known in self._vms if known is not vm]
        vm.ending = Ending.GONE
        self._note(vm)

    def known(self) -> Sequence[Vm]:
        """All VMs that were requested, ended ones too."""
        with self._lock:
            return tuple(self._vms)

    def open(self, job: str | None = None) -> Sequence[Vm]:
        """The VMs whose end is not confirmed; those of one job, if one is named."""
        with self._lock:
            return [
                vm
                for vm in self._vms
                if vm.ending is not Ending.GONE and (job is None or vm.attempt.job == job)
            ]

    def take_down(self, vm: Vm, *, budget: float = TEARDOWN_BUDGET) -> Ending:
        """Delete a VM and confirm it by a 404; where that fails, by the deadline that it carries itself."""
        whole = budget if vm.settled else budget + LATE_INSERT_BUDGET
        until = self._clock.monotonic() + whole
        try:
            poll(
                lambda: self._delete_once(vm, until),
                what=f"deletion of {vm.name}",
                interval=_PAUSE,
                deadline=whole,
                clock=self._clock,
            )
            vm.ending = Ending.GONE
        except WaitTimeout:
            vm.ending = self._read_deadline(vm)
        self._note(vm)
        return vm.ending

    def _delete_once(self, vm: Vm, until: float) -> bool | None:
        """True once the VM is gone; None to try again."""
        try:
            if vm.contested and self._is_foreign(vm):
                return True
            operation = self._send_delete(vm)
            if operation is None:
                return self._is_gone_for_good(vm)
            vm.settled = True
            ended = self._await_delete(vm, operation, until)
            if ended.errors:
                vm.trouble = f"{ended.errors[0].code}: {ended.errors[0].message}"
                return None
            return True if self.machines.get(vm.zone, vm.name) is None else None
        except CallFailed as failure:
            vm.trouble = str(failure)
            # Who may not create VMs may not delete them either, and here there is nothing to delete.
            return True if vm.refused and failure.http_status == _FORBIDDEN else None

    def _send_delete(self, vm: Vm) -> Operation | None:
        # Each try is a request of its own: the same id again would only be told how the earlier try went.
        vm.deletes += 1
        request_id = vm.attempt.request_id(f"delete-{vm.deletes}", vm.zone, vm.name)
        return self.machines.delete(vm.zone, vm.name, request_id=request_id)

    def _await_delete(self, vm: Vm, operation: Operation, until: float) -> Operation:
        """The operation when it is done; WaitTimeout where that takes longer than the teardown may."""

        def finished() -> Operation | None:
            current = self.machines.operation(vm.zone, operation.name)
            return current if current.done else None

        if operation.done:
            return operation
        left = max(0.0, until - self._clock.monotonic())
        vm.trouble = "its deletion was accepted, but is not done"
        return poll(finished, what="delete", interval=_PAUSE, deadline=left, clock=self._clock)

    def _is_foreign(self, vm: Vm) -> bool:
        """Whether the VM of our name is somebody else's; then it is not in our fleet any more."""
        standing = self.machines.get(vm.zone, vm.name)
        if standing is not None and not is_own(standing, vm.attempt):
            self.disown(vm)
            return True
        vm.contested = False
        return False

    def _is_gone_for_good(self, vm: Vm) -> bool | None:
        # A 404 ends the matter only when the insert is settled: one that is under way may still create the VM.
        if vm.settled:
            return True
        if vm.operation:
            vm.settled = self.machines.operation(vm.zone, vm.operation).done
            vm.trouble = "" if vm.settled else "its creation is still under way"
            return None
        now = self._clock.monotonic()
        vm.missing_since = now if vm.missing_since is None else vm.missing_since
        vm.settled = now - vm.missing_since >= LATE_INSERT_BUDGET
        return True if vm.settled else None

    def _read_deadline(self, vm: Vm) -> Ending:
        try:
            instance = self.machines.get(vm.zone, vm.name)
        except CallFailed as failure:
            vm.trouble = str(failure)
            return Ending.UNKNOWN
        if instance is None:
            return Ending.GONE if vm.settled else Ending.UNKNOWN
        vm.terminates = instance.terminates
        return Ending.DEADLINE if instance.terminates else Ending.UNKNOWN

    def abandon(self) -> None:
        """On a signal: send every delete that is due and leave; the VMs' own deadlines cover the rest."""
        started = self._clock.monotonic()
        waiting = [vm for vm in self.open() if vm.requested]
        threads = [
            threading.Thread(target=self._delete_in_a_hurry, args=(vm, started), daemon=True)
            for vm in waiting
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.1, _HURRY - (self._clock.monotonic() - started)))

    def _delete_in_a_hurry(self, vm: Vm, started: float) -> None:
        # The insert may be on its way at this moment, so a 404 is asked again while there is time.
        while self._clock.monotonic() - started < _HURRY:
            try:
                if vm.contested and self._is_foreign(vm):
                    return
                accepted = self._send_delete(vm) is not None
            except (CallFailed, Interrupted) as failure:
                # Interrupted is how a call that would wait before its next try ends now: the next try is ours.
                vm.trouble = str(failure) if isinstance(failure, CallFailed) else "not accepted in time"
            else:
                if accepted or vm.settled:
                    vm.ending = Ending.GONE
                    self._note(vm)
                    return
            threading.Event().wait(_HURRIED_PAUSE)


def is_own(instance: Instance, attempt: Attempt) -> bool:
    """Whether an instance of our name is really ours: it carries this attempt's nonce."""
    return instance.labels.get(NONCE_LABEL) == attempt.nonce
