"""Asks one zone for one VM, and waits until Compute Engine has created it or refused it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from builder.act.failover import Scope, is_transient, scope_of
from builder.act.fleet import Fleet, is_own
from builder.act.refusals import Refusal
from builder.act.vm import Insert, Vm
from builder.errors import ProjectSetup
from builder.model import JsonObject
from builder.plan.build_plan import JobPlan
from builder.plan.vm_spec import SPOT, Attempt, insert_body, vm_labels
from builder.ports import CallFailed, Clock, Image, Machines, Operation
from builder.refusals import unavailable
from builder.waiting import WaitTimeout, poll

OPERATION_BUDGET = 300.0  # seconds that Compute Engine has to create a VM
_RECHECK = 1.0  # an overloaded zoneOperations.wait returns at once (docs/facts.md 1.7)
# The statuses of a new instance before it runs. Any other status means that it has ended.
_COMING = frozenset({"PROVISIONING", "STAGING", "REPAIRING", "PENDING"})


@dataclass(frozen=True)
class VmRequest:
    """The request of one attempt for a VM. Every zone gets the same request."""

    job: JobPlan
    attempt: Attempt
    image: Image
    startup_script: str
    job_metadata: JsonObject
    now: float  # seconds since the epoch, for the deadline label
    stop: Callable[[], bool] = lambda: False  # True: do not start a job that has no VM yet


class Insertion:
    """Creates the VMs of one run, each in a zone that the caller has chosen."""

    def __init__(
        self, machines: Machines, fleet: Fleet, clock: Clock, report: Callable[[str, str], None]
    ) -> None:
        self._machines = machines
        self._fleet = fleet
        self._clock = clock
        self._report = report

    def create(self, vm: Vm, request: VmRequest) -> Refusal | None:
        """Send the insert. Returns None if the VM runs, else the refusal."""
        body = insert_body(
            request.job.options,
            project=self._machines.project,
            zone=vm.zone,
            name=vm.name,
            image=request.image,
            limits=request.job.limits,
            labels=vm_labels(request.attempt, request.job.options, int(request.now) + request.job.limits.vm),
            startup_script=request.startup_script,
            job_metadata=request.job_metadata,
            model=vm.model,
        )
        request_id = request.attempt.request_id("insert", vm.zone, vm.name)
        self._refuse_during_outage(vm)
        try:
            with self._fleet.requesting(vm):
                self._report(
                    request.job.job,
                    f"VM {vm.name} requested in {vm.zone}: {request.job.options.machine_type}"
                    f"{', Spot' if vm.model == SPOT else ''}, {request.image.path}",
                )
                operation = self._machines.insert(
                    vm.zone, body, request_id=request_id, before_try=self._fleet.ensure_owner
                )
            vm.update(operation=operation.name)
        except CallFailed as failure:
            return self._insert_failed(vm, request, failure)
        return self._await_insert(vm, operation)

    def _refuse_during_outage(self, vm: Vm) -> None:
        """Raise EnvironmentFailed if Compute Engine does not answer: nobody could delete a VM that it created now."""
        if not self._machines.in_outage:
            return
        try:
            self._machines.get(vm.zone, vm.name)
        except CallFailed as failure:
            if failure.transient:
                raise unavailable(
                    f"Compute Engine does not answer, so no VM was requested: {failure}"
                ) from failure

    def _insert_failed(self, vm: Vm, request: VmRequest, failure: CallFailed) -> Refusal | None:
        if failure.http_status == HTTPStatus.CONFLICT and not failure.transient:
            return self._name_taken(vm, request, failure)
        scope = scope_of(failure.code, failure.message)
        if failure.transient and scope is Scope.UNKNOWN:
            raise unavailable(
                f"Compute Engine did not answer the request for VM {vm.name} in {vm.zone}: {failure.message}"
            ) from failure
        # A try without an answer can have had its effect, even if a later try returned an error.
        if not (failure.transient or failure.repeated):
            vm.update(insert=Insert.REFUSED)
        return Refusal(vm.zone, failure.code, failure.message, scope)

    def _name_taken(self, vm: Vm, request: VmRequest, failure: CallFailed) -> Refusal | None:
        """Handle a taken name: our own VM, whose first reply was lost, or another VM.

        Raises ProjectSetup for the latter.
        """
        vm.update(contested=True)
        existing = self._machines.get(vm.zone, vm.name)
        if existing is None:
            # The disk has the name, or the VM was deleted at this moment.
            return Refusal(vm.zone, failure.code, failure.message, Scope.UNKNOWN)
        if is_own(existing, request.attempt):
            vm.update(contested=False, insert=Insert.FINAL)
            return self._await_running(vm)
        self._fleet.disown(vm)
        labels = ", ".join(f"{key}={value}" for key, value in sorted(existing.labels.items()))
        raise ProjectSetup(
            f"A VM named {vm.name} in {vm.zone} exists already and is not this run's. Its labels: {labels or 'none'}.",
            reason="foreign_vm",
            advice="It was not touched. Run again under another NB_RUN_ID.",
        )

    def _await_insert(self, vm: Vm, operation: Operation) -> Refusal | None:
        def finished() -> Operation | None:
            current = self._machines.operation(vm.zone, operation.name)
            return current if current.done else None

        try:
            done = (
                operation
                if operation.done
                else poll(
                    finished, what="insert", interval=_RECHECK, deadline=OPERATION_BUDGET, clock=self._clock
                )
            )
        except WaitTimeout:
            return Refusal(vm.zone, "TIMEOUT", f"not created within {OPERATION_BUDGET:.0f} s", Scope.UNKNOWN)
        except CallFailed as failure:
            if failure.transient:
                raise
            return Refusal(vm.zone, failure.code, failure.message, scope_of(failure.code, failure.message))
        vm.update(insert=Insert.FINAL)
        if done.errors:
            error = done.errors[0]
            scope = scope_of(error.code, error.message)
            return Refusal(vm.zone, error.code, error.message, scope, transient=is_transient(error.code))
        return None

    def _await_running(self, vm: Vm) -> Refusal | None:
        def settled_status() -> str | None:
            instance = self._machines.get(vm.zone, vm.name)
            status = "GONE" if instance is None else instance.status
            return None if status in _COMING else status

        try:
            status = poll(
                settled_status,
                what="running",
                interval=_RECHECK,
                deadline=OPERATION_BUDGET,
                clock=self._clock,
            )
        except WaitTimeout:
            return Refusal(vm.zone, "TIMEOUT", f"not running within {OPERATION_BUDGET:.0f} s", Scope.UNKNOWN)
        if status == "RUNNING":
            return None
        return Refusal(vm.zone, status, "the VM ended before it ran", Scope.UNKNOWN)
