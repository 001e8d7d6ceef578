"""The end of a job: keeps what its attempts left, publishes it, and describes it for the reports."""

from __future__ import annotations

from dataclasses import asdict

from builder.act.publish import Publication
from builder.act.result import JobResult, Outcome, VmTime
from builder.act.services import Services
from builder.act.staging import StagedInput
from builder.act.vm import Vm
from builder.act.watch import Log
from builder.judge.cell_runs import cell_runs
from builder.model import Verdict
from builder.plan.build_plan import JobPlan
from builder.plan.inputs import inputs_sha256
from builder.plan.named_inputs import NamedInputs, named_inputs


class JobRecord:
    """The log of a job, and its VMs with their times. Publishes the job's results at its end."""

    def __init__(self, services: Services, job: JobPlan, staged_input: StagedInput) -> None:
        self._s = services
        self._job = job
        self._input = staged_input
        self.log = Log()
        self._vms: list[tuple[Vm, float]] = []  # each VM, with the time when it ran
        self._ends: dict[str, float] = {}
        self._result_generation = 0

    @property
    def inputs(self) -> str:
        """The hash of all inputs of the job."""
        return inputs_sha256(self._job, self._input.workspace.sha256, self._s.kits.sha256)

    @property
    def named_inputs(self) -> NamedInputs:
        """All inputs of the job, by name."""
        return named_inputs(self._job, self._input.workspace, self._s.kits.sha256)

    def report(self, text: str) -> None:
        """Report a state change of the job."""
        self._s.timeline.report(self._job.job, text)

    def began(self, vm: Vm) -> None:
        """Note that a VM runs."""
        self._vms.append((vm, self._s.clock.monotonic()))

    def ended(self, vm: Vm) -> None:
        """Note that the deletion of a VM is confirmed, or given up."""
        self._ends[vm.name] = self._s.clock.monotonic()

    def publish(self, outcome: Outcome, *, attempts: int, seconds: float) -> str:
        """Fill the job's folder. Returns its gs:// address. Raises CallFailed."""
        target = self._s.plan.output_prefix(self._s.run, self._job.job)
        fallback = self._s.plan.location.object("results", self._s.run, self._job.job) + "/"
        publication = Publication(
            run=self._s.run,
            objects=outcome.objects,
            names=outcome.names,
            log="".join(self.log.text),
            verdict=outcome.verdict,
            record={
                "job": self._job.job,
                "notebook": self._job.notebook.path,
                "notebook_sha256": self._job.notebook.sha256,
                "parameters": dict(self._job.parameters),
                "attempts": attempts,
                "seconds": round(seconds, 3),
                "vms": [
                    {"name": vm.name, "zone": vm.zone, "attempt": vm.attempt.number} for vm, _ in self._vms
                ],
                "evidence": outcome.facts,
                **({"day": self._s.plan.today.isoformat()} if self._s.plan.scheduled else {}),
                **({"reused": asdict(outcome.reused)} if outcome.reused else {}),
            },
        )
        filled = self._s.publisher.publish(target, fallback, publication)
        self._result_generation = filled.result_generation
        folder = f"gs://{self._s.store.bucket}/{filled.prefix}"
        if filled.prefix != target:
            self.report(
                f"gs://{self._s.store.bucket}/{target} keeps the results of another run, which is green or newer; "
                f"the results of this run are in {folder}"
            )
        elif filled.replaced:
            self.report(f"{folder} had the green results of {filled.replaced}; this run has replaced them")
        return folder

    def result(
        self, verdict: Verdict, outcome: Outcome, *, attempts: int, seconds: float, output: str
    ) -> JobResult:
        """Return the job's result. `output` is the address that `publish` returned, or empty."""
        evidence = outcome.evidence
        return JobResult(
            job=self._job.job,
            notebook=self._job.notebook.path,
            parameters=self._job.parameters,
            verdict=verdict,
            attempts=attempts,
            seconds=seconds,
            output=output,
            name=self._job.name,
            has_notebook=f"{self._job.name}.ipynb" in outcome.names,
            inputs=self.inputs,
            named_inputs=self.named_inputs,
            workspace_sha256=self._input.workspace.sha256,
            image=self._s.placement.image(self._job).path if self._vms else "",
            packages=evidence.packages.overlay if evidence and evidence.packages else (),
            files=outcome.names if output else (),
            cells=outcome.cells or cell_runs(self._job.notebook, self._job.parameters, None),
            vms=tuple(self._vm_time(vm, began) for vm, began in self._vms),
            events=self._s.timeline.of(self._job.job),
            python=(evidence.python if evidence else None) or "",
            kernel=(evidence.kernel.used if evidence else None) or "",
            reused=outcome.reused,
            result_generation=self._result_generation,
        )

    def _vm_time(self, vm: Vm, began: float) -> VmTime:
        return VmTime(
            attempt=vm.attempt.number,
            name=vm.name,
            zone=vm.zone,
            machine_type=self._job.options.machine_type,
            model=vm.model,
            seconds=self._ends.get(vm.name, self._s.clock.monotonic()) - began,
        )
