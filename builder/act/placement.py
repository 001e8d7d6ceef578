"""Places a job's VM: tries the allowed zones in order, and deletes what each failed try left."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from builder.act.failover import Scope
from builder.act.fleet import Fleet
from builder.act.insertion import Insertion, VmRequest
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
from builder.act.vm import Ending, Insert, Vm
from builder.errors import EnvironmentFailed
from builder.model import is_zone, region_of
from builder.plan.build_plan import PLACING_BUDGET, ImageChoice, JobPlan
from builder.plan.vm_spec import models_to_try
from builder.ports import CallFailed, Clock, Image, Machines

_TRANSIENT_PAUSES = (5.0, 15.0)  # seconds before a zone is asked again after a refusal that can pass


class Placement:
    """Places VMs for the jobs of one run. `report` gets what concerns one job, `log` what concerns the run."""

    def __init__(
        self,
        machines: Machines,
        fleet: Fleet,
        clock: Clock,
        *,
        report: Callable[[str, str], None],
        log: Callable[[str], None],
    ) -> None:
        self._machines = machines
        self._fleet = fleet
        self._clock = clock
        self._report = report
        self._insertion = Insertion(machines, fleet, clock, report)
        self._line = QuotaLine(fleet)
        self._log = log
        self._images: dict[ImageChoice, Image] = {}
        self._resolving = threading.Lock()

    def image(self, job: JobPlan) -> Image:
        """Return the exact image of a job, the same one for all jobs and attempts of the run.

        Raises BuilderError with exit code 2 if there is none, 4 if it may not be read.
        """
        with self._resolving:
            if job.image not in self._images:
                image = self._images[job.image] = self._resolve(job.image)
                self._log(f"image {job.image} is {image.path}{' (deprecated)' if image.deprecated else ''}")
            return self._images[job.image]

    def _resolve(self, choice: ImageChoice) -> Image:
        try:
            if choice.name is None:
                return self._machines.image_of_family(choice.project, choice.family or "")
            return self._machines.image(choice.path)
        except CallFailed as failure:
            raise image_refused(failure, choice) from failure

    def place(self, request: VmRequest) -> Vm:
        """Return a VM that runs. Raises NoCapacity if no zone has one, and the error that stopped the search.

        If VMs of this run hold an exhausted quota, the job waits until one of them ends, and asks again.
        """
        if request.job.options.secure_boot and not request.image.uefi:
            raise no_secure_boot(request.image)
        job = request.job.job
        turn = Turn(self._line, self._clock, job, stop=request.stop, report=partial(self._report, job))
        try:
            return self._search(request, turn)
        finally:
            self._line.leave(turn)

    def _search(self, request: VmRequest, turn: Turn) -> Vm:
        refusals: list[Refusal] = []
        numbers = itertools.count(1)
        deadline = self._clock.monotonic() + PLACING_BUDGET
        places: Iterable[tuple[str, str]] = self._places(request, refusals)
        while True:
            found = self._ask_each(
                places, request, turn, refusals=refusals, numbers=numbers, deadline=deadline
            )
            if isinstance(found, Vm):
                return found
            limits = frozenset(limit for refusal in found if (limit := limit_of(refusal)) is not None)
            if not limits or not turn.await_end(limits, deadline):
                raise used_up(request.job, refusals, found, held=len(turn.holders(limits)))
            places = [(refusal.zone, refusal.model) for refusal in found]
            refusals[:] = [refusal for refusal in refusals if refusal not in found]

    def _ask_each(
        self,
        places: Iterable[tuple[str, str]],
        request: VmRequest,
        turn: Turn,
        *,
        refusals: list[Refusal],
        numbers: Iterator[int],
        deadline: float,
    ) -> Vm | Sequence[Refusal]:
        """Return the first VM that a zone gives, else the refusals about quota.

        Raises the error that stops the search.
        """
        turn.begin()
        quotas: list[Refusal] = []
        for zone, model in places:
            if not turn.await_first(request.job.options, model, zone, deadline):
                raise no_turn(request.job, turn.limits)
            answer = self._ask(zone, model, request, numbers)
            if isinstance(answer, Vm):
                return answer
            refusals.append(answer)
            if limit_of(answer) is not None:
                quotas.append(answer)
            elif answer.scope.stops:
                raise stopped(answer)
            if answer.scope is Scope.QUOTA or self._clock.monotonic() > deadline:
                break
        return quotas

    def _places(self, request: VmRequest, refusals: Sequence[Refusal]) -> Iterator[tuple[str, str]]:
        """Yield each allowed zone with each provisioning model in turn, since their quotas and stocks are separate."""
        for model in models_to_try(
            request.job.options.provisioning, request.attempt.number, request.job.options.max_attempts
        ):
            for zone in self._zones(request.job.options.zones, refusals, model):
                yield zone, model

    def _ask(self, zone: str, model: str, request: VmRequest, numbers: Iterator[int]) -> Vm | Refusal:
        """Ask one zone, repeatedly if its refusal can pass. Each try has its own VM name."""
        pauses = iter(_TRANSIENT_PAUSES)
        while True:
            vm = Vm(
                name=request.attempt.vm_name(next(numbers)),
                zone=zone,
                attempt=request.attempt,
                max_run_seconds=request.job.limits.vm,
                model=model,
                spec=request.job.options,
            )
            refusal = self._try_and_clean_up(vm, request)
            if refusal is None:
                return vm
            pause = next(pauses, None)
            if pause is None or not refusal.transient:
                return refusal
            self._clock.sleep(pause)

    def _try_and_clean_up(self, vm: Vm, request: VmRequest) -> Refusal | None:
        """Ask one zone.

        Returns None if the VM runs, else the refusal, with nothing left. Raises EnvironmentFailed if a VM is left.
        """
        try:
            refusal = self._insertion.create(vm, request)
        except Exception:  # after any error, a requested VM is deleted first
            if vm.state.insert is not Insert.UNSENT:
                self._fleet.take_down(vm)
            raise
        if refusal is None:
            return None
        refusal = replace(refusal, model=vm.model)
        self._report(request.job.job, f"VM refused in {refusal}")
        if self._fleet.take_down(vm) is not Ending.GONE:
            raise EnvironmentFailed(
                f"The failed VM {vm.name} in {vm.zone} could not be deleted: {vm.state.trouble}",
                reason="cleanup_failed",
                advice="No other zone was tried, so that no second VM is left behind.",
            )
        return refusal

    def _zones(self, names: Sequence[str], refusals: Sequence[Refusal], model: str) -> Iterator[str]:
        """Yield zones in order of preference; a region stands for its zones. Regions without quota are left out."""
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
