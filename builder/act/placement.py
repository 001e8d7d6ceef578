"""Gets a job its VM: tries the allowed zones in order, told apart by error code, and cleans up behind each failed try."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from builder.act.failover import Scope, passes, scope_of
from builder.act.fleet import Ending, Fleet, Vm, is_own
from builder.act.quota_line import QuotaLine, Turn, limit_of
from builder.act.refusals import (
    Refusal,
    image_refused,
    no_secure_boot,
    no_turn,
    stopped,
    used_up,
    zones_refused,
)
from builder.act.waiting import WaitTimeout, poll
from builder.errors import EnvironmentFailed, ProjectSetup
from builder.model import JsonObject, is_zone, region_of
from builder.plan.make import PLACING_BUDGET, ImageChoice, JobPlan
from builder.plan.vm_spec import SPOT, Attempt, insert_body, models_to_try, vm_labels
from builder.ports import CallFailed, Clock, Image, Machines, Operation

OPERATION_BUDGET = 300.0  # seconds that Compute Engine has to create a VM
_RECHECK = 1.0  # zoneOperations.wait may return at once when it is overloaded (docs/facts.md 1.7)
_CONFLICT = 409
_PASSING_PAUSES = (5.0, 15.0)  # seconds before a zone is asked again whose refusal may pass
# What an instance that was asked for can be before it runs; anything else means that its life is over.
_COMING = frozenset({"PROVISIONING", "STAGING", "REPAIRING", "PENDING"})


@dataclass(frozen=True)
class Order:
    """What is asked of each zone for one attempt."""

    job: JobPlan
    attempt: Attempt
    image: Image
    startup_script: str
    job_metadata: JsonObject
    now: float  # seconds since the epoch, for the deadline label
    stop: Callable[[], bool] = lambda: False  # True: a job that has no VM yet need not be started any more


class Placement:
    """Places VMs for the jobs of one run."""

    def __init__(
        self, machines: Machines, fleet: Fleet, clock: Clock, say: Callable[[str, str], None]
    ) -> None:
        self._machines = machines
        self._fleet = fleet
        self._clock = clock
        self._say = say
        self._line = QuotaLine(fleet, clock)

    def resolve_image(self, choice: ImageChoice) -> Image:
        """The exact image. Raises BuilderError with exit code 2 when it is gone, 4 when it may not be read."""
        try:
            if choice.name is None:
                return self._machines.image_of_family(choice.project, choice.family or "")
            return self._machines.image(choice.path)
        except CallFailed as failure:
            raise image_refused(failure, choice) from failure

    def place(self, order: Order) -> Vm:
        """A VM that is running. Raises NoCapacity when no zone had one, or what stopped the search.

        Where VMs of this run hold a quota that is used up, the job waits for one of them to end and asks again.
        """
        if order.job.vm.secure_boot and not order.image.uefi:
            raise no_secure_boot(order.image)
        turn = self._line.turn(order.job.job, order.stop, partial(self._say, order.job.job))
        try:
            return self._search(order, turn)
        finally:
            turn.leave()

    def _search(self, order: Order, turn: Turn) -> Vm:
        refusals: list[Refusal] = []
        numbers = itertools.count(1)
        deadline = self._clock.monotonic() + PLACING_BUDGET
        places: Iterable[tuple[str, str]] = self._places(order, refusals)
        while True:
            found = self._ask_each(places, order, turn, refusals=refusals, numbers=numbers, deadline=deadline)
            if isinstance(found, Vm):
                return found
            limits = frozenset(limit for refusal in found if (limit := limit_of(refusal)) is not None)
            if not limits or not turn.await_end(limits, deadline):
                raise used_up(order.job, refusals, found, held=len(turn.holders(limits)))
            places = [(refusal.zone, refusal.model) for refusal in found]
            refusals[:] = [refusal for refusal in refusals if refusal not in found]

    def _ask_each(
        self,
        places: Iterable[tuple[str, str]],
        order: Order,
        turn: Turn,
        *,
        refusals: list[Refusal],
        numbers: Iterator[int],
        deadline: float,
    ) -> Vm | Sequence[Refusal]:
        """The first VM that one of the places gives, else the refusals for want of quota. Raises what stops the search."""
        turn.begin()
        quotas: list[Refusal] = []
        for zone, model in places:
            if self._clock.monotonic() > deadline:
                break
            if not turn.await_first(order.job.vm, zone, deadline):
                raise no_turn(order.job, turn.limits)
            answer = self._ask(zone, model, order, numbers)
            if isinstance(answer, Vm):
                return answer
            refusals.append(answer)
            if limit_of(answer) is not None:
                quotas.append(answer)
            elif answer.scope.stops:
                raise stopped(answer)
            if answer.scope is Scope.QUOTA:
                break
        return quotas

    def _places(self, order: Order, refusals: Sequence[Refusal]) -> Iterator[tuple[str, str]]:
        """Each allowed zone with the first provisioning model, then with the next: quotas and stocks are separate."""
        for model in models_to_try(order.job.provisioning, order.attempt.number, order.job.max_attempts):
            for zone in self._zones(order.job.zones, refusals, model):
                yield zone, model

    def _ask(self, zone: str, model: str, order: Order, numbers: Iterator[int]) -> Vm | Refusal:
        """Ask one zone, more than once where its refusal may pass; each try has a name of its own."""
        pauses = iter(_PASSING_PAUSES)
        while True:
            vm = Vm(
                name=order.attempt.vm_name(next(numbers)),
                zone=zone,
                attempt=order.attempt,
                max_run_seconds=order.job.limits.vm,
                model=model,
                spec=order.job.vm,
            )
            refusal = self._try_and_clean_up(vm, order)
            if refusal is None:
                return vm
            pause = next(pauses, None)
            if pause is None or not refusal.passing:
                return refusal
            self._clock.sleep(pause)

    def _try_and_clean_up(self, vm: Vm, order: Order) -> Refusal | None:
        """Ask one zone; None when the VM runs, else nothing is left of it. Raises EnvironmentFailed where something is."""
        try:
            refusal = self._try(vm, order)
        except Exception:  # whatever it is, a VM that was asked for goes first
            if vm.requested:
                self._fleet.take_down(vm)
            raise
        if refusal is None:
            return None
        refusal = replace(refusal, model=vm.model)
        self._say(order.job.job, f"VM refused in {refusal}")
        if self._fleet.take_down(vm) is not Ending.GONE:
            raise EnvironmentFailed(
                f"The failed VM {vm.name} in {vm.zone} could not be deleted: {vm.trouble}",
                reason="cleanup_failed",
                advice="No other zone was tried, so that no second VM is left behind.",
            )
        return refusal

    def _zones(self, names: Sequence[str], refusals: Sequence[Refusal], model: str) -> Iterator[str]:
        """Zones in order of preference; a region's name means its zones. Regions whose quota is used up are left out."""
        for name in names:
            for zone in [name] if is_zone(name) else self._zones_of(name):
                said = [item for item in refusals if item.model == model]
                full = {region_of(item.zone) for item in said if item.scope is Scope.REGION}
                if region_of(zone) not in full and zone not in {item.zone for item in said}:
                    yield zone

    def _zones_of(self, region: str) -> Sequence[str]:
        try:
            return self._machines.zones(region)
        except CallFailed as failure:
            raise zones_refused(failure, region) from failure

    def _try(self, vm: Vm, order: Order) -> Refusal | None:
        """Ask one zone; None when the VM runs."""
        body = insert_body(
            order.job.vm,
            project=self._machines.project,
            zone=vm.zone,
            name=vm.name,
            image=order.image,
            limits=order.job.limits,
            labels=vm_labels(order.attempt, order.job.vm, int(order.now) + order.job.limits.vm),
            startup_script=order.startup_script,
            job_metadata=order.job_metadata,
            model=vm.model,
        )
        request_id = order.attempt.request_id("insert", vm.zone, vm.name)
        try:
            with self._fleet.requesting(vm):
                self._say(
                    order.job.job,
                    f"VM {vm.name} requested in {vm.zone}: {order.job.vm.machine_type}"
                    f"{', Spot' if vm.model == SPOT else ''}, {order.image.path}",
                )
                operation = self._machines.insert(
                    vm.zone, body, request_id=request_id, permit=self._fleet.permit
                )
            vm.operation = operation.name
        except CallFailed as failure:
            return self._insert_failed(vm, order, failure)
        return self._await_insert(vm, operation)

    def _insert_failed(self, vm: Vm, order: Order, failure: CallFailed) -> Refusal | None:
        if failure.http_status == _CONFLICT and not failure.transient:
            return self._name_taken(vm, order, failure)
        scope = scope_of(failure.code, failure.message)
        if failure.transient and scope is Scope.UNKNOWN:
            raise EnvironmentFailed(
                f"Compute Engine did not answer the request for VM {vm.name} in {vm.zone}: {failure.message}",
                reason="api_unavailable",
                advice="Run again; if it persists, look at Google Cloud's status page.",
            ) from failure
        # A try that was lost may have had its effect all the same, whatever a later one was told.
        vm.settled = vm.refused = not (failure.transient or failure.repeated)
        return Refusal(vm.zone, failure.code, failure.message, scope)

    def _name_taken(self, vm: Vm, order: Order, failure: CallFailed) -> Refusal | None:
        """Something of that name stands there: our own VM, whose first reply was lost, or somebody else's."""
        vm.contested = True
        standing = self._machines.get(vm.zone, vm.name)
        if standing is None:
            # It is the disk, or the VM went in this moment.
            return Refusal(vm.zone, failure.code, failure.message, Scope.UNKNOWN)
        if is_own(standing, order.attempt):
            vm.contested = False
            vm.settled = True
            return self._await_running(vm)
        self._fleet.disown(vm)
        raise ProjectSetup(
            f"A VM named {vm.name} in {vm.zone} stands there already and is not this run's: "
            f"labels {dict(standing.labels)}.",
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
        vm.settled = True
        if done.errors:
            error = done.errors[0]
            scope = scope_of(error.code, error.message)
            return Refusal(vm.zone, error.code, error.message, scope, passing=passes(error.code))
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
