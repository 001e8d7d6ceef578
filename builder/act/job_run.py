"""Runs one job, from staging to its published folder: attempts on a VM each, until a verdict is final."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import Future

from builder.act.insertion import VmRequest
from builder.act.job_record import JobRecord
from builder.act.lease import LEASE_SECONDS
from builder.act.result import JobResult, Outcome
from builder.act.reused_job import reuse_results
from builder.act.services import Services
from builder.act.staging import StagedInput, stage
from builder.act.vm import Ending, Vm
from builder.act.watch import Watch
from builder.errors import REPORT_BUG, TRACEBACK_IN_LOG, BuilderError, EnvironmentFailed, ExitCode
from builder.judge.cell_checks import START_AGAIN
from builder.judge.cell_runs import cell_runs
from builder.judge.executed_notebook import MAX_EXECUTED_BYTES
from builder.judge.expected import Expected
from builder.judge.verdict import judge
from builder.model import Listed, Verdict
from builder.plan.build_plan import JobPlan
from builder.plan.vm_spec import Attempt
from builder.ports import CallFailed
from builder.refusals import call_error
from builder.strict_json import read_object
from builder.vm.codec import ProtocolError
from builder.vm.protocol import Evidence, JobMetadata, LeaseTerms, StagedObject

_logger = logging.getLogger(__name__)


class JobRun:
    """One job from staging to its published folder. `attempts` is the number of the last attempt that began."""

    def __init__(self, services: Services, job: JobPlan, staged_input: StagedInput) -> None:
        self._s = services
        self._job = job
        self._input = staged_input
        self._record = JobRecord(services, job, staged_input)
        self.attempts = 0

    def execute(self) -> JobResult:
        """Run the job to its end, or take the results of an earlier green run.

        A fault becomes a red verdict. Raises Interrupted, and what only a bug of Notebook Builder can raise.
        """
        return reuse_results(self._s, self._job, self._record) or self._run()

    def _run(self) -> JobResult:
        """Run the job on VMs to its end."""
        started = self._s.clock.monotonic()
        staged = self._stage()
        number = 1
        while True:
            self.attempts = number
            outcome, teardown = self._attempt(number, staged)
            if not outcome.verdict.retryable or number == self._job.options.max_attempts:
                break
            self._record.report(
                f"attempt {number} of {self._job.options.max_attempts}: {outcome.verdict.message}"
            )
            teardown.result()
            if self._s.fleet.open(self._job.job):
                self._record.report(
                    "No other attempt: this attempt's VM may still run, and a job never has two VMs."
                )
                break
            self._record.report("Trying again.")
            if staged.done() and staged.exception() is not None:
                staged = self._stage()
            number += 1
        if self._s.plan.fail_fast and not outcome.verdict.green:
            self._s.stop.set()
        seconds = self._s.clock.monotonic() - started
        self._s.progress.judged(self._job.job, outcome.verdict, seconds)
        verdict, output = self._publish(outcome, number, seconds)
        teardown.result()
        return self._record.result(verdict, outcome, attempts=number, seconds=seconds, output=output)

    def _publish(self, outcome: Outcome, attempts: int, seconds: float) -> tuple[Verdict, str]:
        """Publish the last attempt.

        Returns the verdict, red if green results cannot be published, and the folder's address.
        """
        try:
            return outcome.verdict, self._record.publish(outcome, attempts=attempts, seconds=seconds)
        except CallFailed as failure:
            verdict = verdict_of(call_error(failure)) if outcome.verdict.green else outcome.verdict
            self._record.report(f"results could not be published: {failure}")
            return verdict, ""

    def _stage(self) -> Future[Mapping[str, int]]:
        """Begin to upload the input. A repetition recognizes its own objects by their checksums."""
        return self._s.pool.submit(self._stage_input)

    def _stage_input(self) -> Mapping[str, int]:
        """Upload the input, after the archive of uv if the job has requirements."""
        if self._job.preparation.requirements is not None:
            self._s.kits.supply_uv()
        return stage(self._input, self._s.store, self._s.workspaces)

    def _attempt(self, number: int, staged: Future[Mapping[str, int]]) -> tuple[Outcome, Future[None]]:
        """Run one attempt on one VM.

        Returns its outcome, and the VM's teardown, which the verdict does not wait for.
        """
        attempt = Attempt(
            run=self._s.run,
            job=self._job.job,
            number=number,
            nonce=secrets.token_hex(8),
            random=secrets.token_hex(16),
        )
        teardown: Future[None] = Future()
        teardown.set_result(None)
        try:
            self._s.check_time_left()
            requested = self._s.clock.monotonic()
            vm = self._s.placement.place(self._vm_request(attempt))
            self._record.began(vm)
            try:
                seconds = self._s.clock.monotonic() - requested
                self._record.report(
                    f"VM {vm.name} runs in {vm.zone} after {seconds:.0f} s; waiting for its first heartbeat"
                )
                return self._follow(vm, staged.result()), self._s.pool.submit(self._take_down, vm)
            except Exception:  # after any error, the VM is deleted
                teardown = self._s.pool.submit(self._take_down, vm)
                raise
        except BuilderError as error:
            return Outcome(verdict_of(error)), teardown
        except CallFailed as failure:
            return Outcome(verdict_of(call_error(failure))), teardown
        except Exception:  # a bug of Notebook Builder becomes a verdict, and the other jobs go on
            self._s.clock.sleep(0)  # ends the job if the run is cancelled: its thread pools are closed then
            _logger.exception("job %s", self._job.job)
            return Outcome(BUG), teardown

    def _vm_request(self, attempt: Attempt) -> VmRequest:
        image = self._s.placement.image(self._job)
        self._s.offer.check(self._job)
        metadata = JobMetadata(
            storage_endpoint=self._s.endpoint("storage"),
            compute_endpoint=self._s.endpoint("compute"),
            secretmanager_endpoint=self._s.endpoint("secretmanager"),
            bucket=self._s.store.bucket,
            kits=self._s.kits.staged,
            job=StagedObject(self._input.prefix + "job.json", self._input.job_sha256),
            attempt_prefix=self._attempt_prefix(attempt),
            run=attempt.run,
            job_id=attempt.job,
            attempt=attempt.number,
            nonce=attempt.nonce,
            boot_timeout=self._job.limits.boot,
            run_limit=self._job.limits.runner,
            max_run_duration=self._job.limits.vm,
            lease=LeaseTerms(self._s.lease, LEASE_SECONDS),
        )
        return VmRequest(
            job=self._job,
            attempt=attempt,
            image=image,
            startup_script=self._s.startup_script,
            job_metadata=metadata.document(),
            now=time.time(),
            stop=self._s.stop.is_set,
        )

    def _attempt_prefix(self, attempt: Attempt) -> str:
        return f"{self._input.prefix}{attempt.folder}/"

    def _follow(self, vm: Vm, generations: Mapping[str, int]) -> Outcome:
        """Wait for the attempt's evidence and judge it."""
        prefix = self._attempt_prefix(vm.attempt)
        self._record.log.begin(vm.attempt.number)
        raw = Watch(
            vm=vm,
            prefix=prefix,
            limits=self._job.limits,
            store=self._s.store,
            machines=self._s.machines,
            clock=self._s.clock,
            supply=self._s.kits.supply_cpython,
            relay=lambda line: self._s.progress.relay(self._job.job, line),
            log=self._record.log,
        ).until_evidence()
        try:
            evidence = Evidence.decode(raw)
        except ProtocolError as error:
            raise EnvironmentFailed(
                f"VM {vm.name} left evidence that cannot be read: {error}",
                reason="evidence_unreadable",
                advice=START_AGAIN,
            ) from error
        listing = {item.name.removeprefix(prefix): item for item in self._s.store.list(prefix)}
        executed = self._executed(evidence, listing)
        verdict = judge(self._expected(vm.attempt, generations), evidence, executed, listing)
        proven = [item for item in evidence.objects if item.name in listing]
        return Outcome(
            verdict=verdict,
            objects=tuple(listing[item.name] for item in proven),
            names=tuple(item.name for item in proven),
            facts=read_object(raw),
            evidence=evidence,
            cells=cell_runs(self._job.notebook, self._job.parameters, executed),
        )

    def _executed(self, evidence: Evidence, listing: Mapping[str, Listed]) -> bytes | None:
        """Return the executed notebook, at the generation in the listing."""
        item = listing.get(evidence.executed_notebook or "")
        return (
            None
            if item is None
            else self._s.store.read(item.name, generation=item.generation, max_bytes=MAX_EXECUTED_BYTES)
        )

    def _expected(self, attempt: Attempt, generations: Mapping[str, int]) -> Expected:
        return Expected(
            attempt=attempt,
            job=self._job,
            job_sha256=self._input.job_sha256,
            workspace_sha256=self._input.workspace.sha256,
            parameters_sha256=self._input.parameters_sha256,
            generations=generations,
            modules=self._s.plan.modules,
        )

    def _take_down(self, vm: Vm) -> None:
        ending = self._s.fleet.take_down(vm)
        self._record.ended(vm)
        if ending is Ending.GONE:
            self._record.report(f"VM {vm.name} deleted")
        else:
            self._record.report(f"VM {vm.name} in {vm.zone} could not be deleted: {vm.state.trouble}")


def verdict_of(error: BuilderError) -> Verdict:
    """Return the verdict on a job that an error ended."""
    return Verdict(
        exit_code=ExitCode(error.exit_code), reason=error.reason, message=error.message, advice=error.advice
    )


BUG = Verdict(
    exit_code=ExitCode.BUG,
    reason="bug",
    message=f"A bug in Notebook Builder ended the job. {TRACEBACK_IN_LOG}",
    advice=REPORT_BUG,
)
