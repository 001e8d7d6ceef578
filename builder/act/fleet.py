"""Keeps track of a run's VMs, each from before its request until its end is confirmed, and deletes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from builder.act.vm import Ending, Insert, Vm
from builder.errors import Interrupted
from builder.plan.vm_spec import NONCE_LABEL, Attempt
from builder.ports import CallFailed, Clock, Instance, Machines, Operation
from builder.waiting import Cancellation, WaitTimeout, poll

TEARDOWN_BUDGET = 180.0  # seconds for one VM's deletion with all its repetitions
LATE_INSERT_BUDGET = 120.0  # seconds during which a VM can still appear after an unanswered insert
_PAUSE = 2.0
ABANDON_BUDGET = 3.0  # seconds for the deletes to be accepted after a signal
_ABANDON_PAUSE = 0.2


class Fleet:
    """The VMs of one run. Used from several threads."""

    def __init__(
        self,
        machines: Machines,
        clock: Clock,
        cancellation: Cancellation,
        record: Callable[[Vm], None] = lambda _vm: None,
        ensure_owner: Callable[[], None] = lambda: None,
    ) -> None:
        """`record` is called for each VM just before its request, and again when its end is confirmed.

        `ensure_owner` is called before each try of a request for a VM. It raises if the run may not have VMs any more.
        """
        self.machines = machines
        self.ensure_owner = ensure_owner
        self._record = record
        self._clock = clock
        self._cancellation = cancellation
        self._lock = threading.Lock()
        self._vms: list[Vm] = []

    @contextmanager
    def requesting(self, vm: Vm) -> Iterator[None]:
        """Register a VM, then send its insert in the `with` block. Raises Interrupted if the run is cancelled."""
        self.ensure_owner()
        with self._lock:
            self._cancellation.check()
            self._vms.append(vm)
            vm.update(insert=Insert.SENT)
        self._record(vm)
        yield

    def disown(self, vm: Vm) -> None:
        """Forget a VM that is not this run's, so that it is never deleted."""
        with self._lock:
            self._vms = [known for known in self._vms if known is not vm]
        vm.update(insert=Insert.UNSENT, ending=Ending.GONE)
        self._record(vm)

    def known(self) -> Sequence[Vm]:
        """Return all VMs that were requested, including ended ones."""
        with self._lock:
            return tuple(self._vms)

    def open(self, job: str | None = None) -> Sequence[Vm]:
        """Return the VMs whose end is not confirmed: all, or those of one job."""
        with self._lock:
            return [
                vm
                for vm in self._vms
                if vm.state.ending is not Ending.GONE and (job is None or vm.attempt.job == job)
            ]

    def take_down(self, vm: Vm, *, budget: float = TEARDOWN_BUDGET) -> Ending:
        """Delete a VM. Returns how certain its end is: confirmed by a 404, else by the VM's own deadline."""
        whole = budget if vm.state.insert.is_final else budget + LATE_INSERT_BUDGET
        until = self._clock.monotonic() + whole
        try:
            poll(
                lambda: self._delete_once(vm, until),
                what=f"deletion of {vm.name}",
                interval=_PAUSE,
                deadline=whole,
                clock=self._clock,
            )
            ending = Ending.GONE
        except WaitTimeout:
            ending = self._read_deadline(vm)
        vm.update(ending=ending)
        self._record(vm)
        return ending

    def _delete_once(self, vm: Vm, until: float) -> bool | None:
        """Return True if the VM is gone, None to try again."""
        try:
            if vm.state.contested and self._is_foreign(vm):
                return True
            operation = self._send_delete(vm)
            if operation is None:
                return self._is_gone_for_good(vm)
            vm.update(insert=Insert.FINAL)
            ended = self._await_delete(vm, operation, until)
            if ended.errors:
                vm.update(trouble=f"{ended.errors[0].code}: {ended.errors[0].message}")
                return None
            return True if self.machines.get(vm.zone, vm.name) is None else None
        except CallFailed as failure:
            vm.update(trouble=str(failure))
            # An account that may not create VMs may not delete them either, and there is nothing to delete.
            is_refused = vm.state.insert is Insert.REFUSED
            return True if is_refused and failure.http_status == HTTPStatus.FORBIDDEN else None

    def _send_delete(self, vm: Vm) -> Operation | None:
        # Each try is a new request: a repeated request id would only return the earlier try's outcome.
        request_id = vm.attempt.request_id(f"delete-{vm.count_delete()}", vm.zone, vm.name)
        return self.machines.delete(vm.zone, vm.name, request_id=request_id)

    def _await_delete(self, vm: Vm, operation: Operation, until: float) -> Operation:
        """Return the operation when it is done. Raises WaitTimeout after the teardown's deadline."""

        def finished() -> Operation | None:
            current = self.machines.operation(vm.zone, operation.name)
            return current if current.done else None

        if operation.done:
            return operation
        left = max(0.0, until - self._clock.monotonic())
        vm.update(trouble="its deletion was accepted, but is not done")
        return poll(finished, what="delete", interval=_PAUSE, deadline=left, clock=self._clock)

    def _is_foreign(self, vm: Vm) -> bool:
        """Return True if the VM of this name is not this run's; it then leaves the fleet."""
        existing = self.machines.get(vm.zone, vm.name)
        if existing is not None and not is_own(existing, vm.attempt):
            self.disown(vm)
            return True
        vm.update(contested=False)
        return False

    def _is_gone_for_good(self, vm: Vm) -> bool | None:
        """Return True if a 404 proves deletion, None if a pending insert can still create the VM."""
        state = vm.state
        if state.insert.is_final:
            return True
        if state.operation:
            if self.machines.operation(vm.zone, state.operation).done:
                vm.update(insert=Insert.FINAL, trouble="")
            else:
                vm.update(trouble="its creation is still under way")
            return None
        now = self._clock.monotonic()
        since = now if state.missing_since is None else state.missing_since
        vm.update(missing_since=since)
        if now - since < LATE_INSERT_BUDGET:
            return None
        vm.update(insert=Insert.FINAL)
        return True

    def _read_deadline(self, vm: Vm) -> Ending:
        try:
            instance = self.machines.get(vm.zone, vm.name)
        except CallFailed as failure:
            vm.update(trouble=str(failure))
            return Ending.UNKNOWN
        if instance is None:
            return Ending.GONE if vm.state.insert.is_final else Ending.UNKNOWN
        vm.update(terminates=instance.terminates)
        return Ending.DEADLINE if instance.terminates else Ending.UNKNOWN

    def abandon(self) -> None:
        """Send all deletes within seconds, for a run that is cancelled. The VMs' own deadlines cover the rest."""
        started = self._clock.monotonic()
        waiting = self.open()
        threads = [
            threading.Thread(target=self._delete_quickly, args=(vm, started), daemon=True) for vm in waiting
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, ABANDON_BUDGET - (self._clock.monotonic() - started)))

    def _delete_quickly(self, vm: Vm, started: float) -> None:
        # The insert may be in flight, so a 404 is not final: the delete is repeated while there is time.
        while self._clock.monotonic() - started < ABANDON_BUDGET:
            try:
                if vm.state.contested and self._is_foreign(vm):
                    return
                accepted = self._send_delete(vm) is not None
            except (CallFailed, Interrupted) as failure:
                # A cancelled run's calls raise Interrupted instead of waiting for a repetition: this loop repeats them.
                trouble = str(failure) if isinstance(failure, CallFailed) else "not accepted in time"
                vm.update(trouble=trouble)
            else:
                if accepted or vm.state.insert.is_final:
                    vm.update(ending=Ending.GONE)
                    self._record(vm)
                    return
            threading.Event().wait(_ABANDON_PAUSE)


def is_own(instance: Instance, attempt: Attempt) -> bool:
    """Return True if an instance has this attempt's nonce."""
    return instance.labels.get(NONCE_LABEL) == attempt.nonce
