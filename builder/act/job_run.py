"""Runs one job: attempts until one can be judged, each on a VM of its own that is gone before the job ends."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from builder.act.fleet import Ending, Fleet, Vm
from builder.act.kit_staging import KitStaging
from builder.act.lease import LEASE_SECONDS
from builder.act.offer import Offer
from builder.act.placement import Order, Placement
from builder.act.publish import Publication, Publisher
from builder.act.result import JobResult
from builder.act.staging import Parcel, Staging
from builder.act.watch import Log, Watch
from builder.errors import BuilderError, EnvironmentFailed, ExitCode, ProjectSetup
from builder.judge.evidence import Evidence, EvidenceError, parse_evidence
from builder.judge.verdict import Expected, judge
from builder.model import JsonObject, Listed, Verdict
from builder.plan.inputs import inputs_sha256
from builder.plan.make import JobPlan, Plan
from builder.plan.vm_spec import Attempt
from builder.ports import CallFailed, Clock, Image, Machines, ObjectStore
from builder.stored_json import read_object

_logger = logging.getLogger(__name__)
_FORBIDDEN = frozenset({401, 403})
_NOT_FOUND = 404


class Voice(Protocol):
    """What a job tells while it runs."""

    def say(self, job: str, text: str) -> None:
        """A state change, in our words."""

    def relay(self, job: str, line: str) -> None:
        """A line of the VM's log, as it arrived."""

    def judged(self, job: str, verdict: Verdict, seconds: float) -> None:
        """The verdict on a job, as soon as it is known."""


@dataclass(frozen=True)
class Services:
    """What the jobs of one run share."""

    plan: Plan
    run: str
    store: ObjectStore
    machines: Machines
    fleet: Fleet
    placement: Placement
    staging: Staging
    kits: KitStaging
    publisher: Publisher
    clock: Clock
    permit_attempt: Callable[[], None]  # raises BuilderError where no attempt may begin any more
    pool: ThreadPoolExecutor
    voice: Voice
    startup_script: str
    endpoint: Callable[[str], str]
    image: Callable[[JobPlan], Image]
    offer: Offer
    lease: str  # the object that this builder renews while it lives
    stop: threading.Event  # once it is set, no further job is started


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to. `objects` are those that the evidence lists and the bucket holds."""

    verdict: Verdict
    objects: tuple[Listed, ...] = ()
    names: tuple[str, ...] = ()
    facts: JsonObject | None = None
    packages: tuple[str, ...] = ()


class JobRun:
    """One job from staging to its published folder."""

    def __init__(self, services: Services, job: JobPlan, parcel: Parcel) -> None:
        self._s = services
        self._job = job
        self._parcel = parcel
        self._log = Log()
        self._vms: list[JsonObject] = []

    def execute(self) -> JobResult:
        """Run the job to its end. Faults become a red verdict; only Interrupted leaves as an exception."""
        started = self._s.clock.monotonic()
        staged = self._stage()
        number = 1
        while True:
            outcome, teardown = self._attempt(number, staged)
            if not outcome.verdict.retryable or number == self._job.max_attempts:
                break
            self._say(f"attempt {number} of {self._job.max_attempts}: {outcome.verdict.message}")
            teardown.result()
            if self._s.fleet.open(self._job.job):
                self._say("No other attempt: the VM of this one may still run, and there are never two.")
                break
            self._say("Trying again.")
            if staged.done() and staged.exception() is not None:
                staged = self._stage()
            number += 1
        if self._s.plan.fail_fast and not outcome.verdict.green:
            self._s.stop.set()
        seconds = self._s.clock.monotonic() - started
        self._s.voice.judged(self._job.job, outcome.verdict, seconds)
        verdict, output = self._publish(outcome, number, seconds)
        teardown.result()
        return JobResult(
            job=self._job.job,
            notebook=self._job.notebook.path,
            parameters=self._job.parameters,
            verdict=verdict,
            attempts=number,
            seconds=seconds,
            output=output,
            name=self._job.name,
            has_notebook=f"{self._job.name}.ipynb" in outcome.names,
            image=self._s.image(self._job).path if verdict.green else "",
            packages=outcome.packages,
            inputs=inputs_sha256(self._job, self._parcel.workspace.sha256, self._s.kits.sha256),
            workspace_sha256=self._parcel.workspace.sha256,
        )

    def _stage(self) -> Future[Mapping[str, int]]:
        """Begin to upload the input. A second time it meets its own objects, and knows them by their checksums."""
        return self._s.pool.submit(self._stage_input)

    def _stage_input(self) -> Mapping[str, int]:
        """Upload the input, and before it what only a job with requirements needs."""
        if self._job.preparation.requirements is not None:
            self._s.kits.supply_uv()
        return self._s.staging.stage(self._parcel)

    def _attempt(self, number: int, staged: Future[Mapping[str, int]]) -> tuple[Outcome, Future[None]]:
        """One try on one VM; its teardown goes on beside what follows, since the verdict need not wait for it."""
        attempt = Attempt(run=self._s.run, job=self._job.job, number=number, nonce=secrets.token_hex(8))
        teardown: Future[None] = Future()
        teardown.set_result(None)
        try:
            self._s.permit_attempt()
            vm = self._s.placement.place(self._order(attempt))
            try:
                self._say(f"VM {vm.name} runs in {vm.zone}; waiting for its first heartbeat")
                return self._follow(vm, staged.result()), self._s.pool.submit(self._take_down, vm)
            except Exception:  # whatever it is, the VM goes
                teardown = self._s.pool.submit(self._take_down, vm)
                raise
        except BuilderError as error:
            return Outcome(verdict_of(error)), teardown
        except CallFailed as failure:
            return Outcome(verdict_of(call_error(failure))), teardown
        except Exception:  # a bug of ours is a verdict, too: the other jobs go on
            _logger.exception("job %s", self._job.job)
            return Outcome(BUG), teardown

    def _order(self, attempt: Attempt) -> Order:
        image = self._s.image(self._job)
        self._s.offer.check(self._job)
        metadata: JsonObject = {
            "schema": 1,
            "storage_endpoint": self._s.endpoint("storage"),
            "compute_endpoint": self._s.endpoint("compute"),
            "secretmanager_endpoint": self._s.endpoint("secretmanager"),
            "bucket": self._s.store.bucket,
            "kits": dict(self._s.kits.described),
            "job": {"object": self._parcel.prefix + "job.json", "sha256": self._parcel.job_sha256},
            "attempt_prefix": self._attempt_prefix(attempt),
            "run": attempt.run,
            "job_id": attempt.job,
            "attempt": attempt.number,
            "nonce": attempt.nonce,
            "boot_timeout": self._job.limits.boot,
            "run_limit": self._job.limits.runner,
            "max_run_duration": self._job.limits.vm,
            "lease": {"object": self._s.lease, "seconds": LEASE_SECONDS},
        }
        return Order(
            job=self._job,
            attempt=attempt,
            image=image,
            startup_script=self._s.startup_script,
            job_metadata=metadata,
            now=time.time(),
            stop=self._s.stop.is_set,
        )

    def _attempt_prefix(self, attempt: Attempt) -> str:
        return f"{self._parcel.prefix}attempt-{attempt.number}/"

    def _follow(self, vm: Vm, generations: Mapping[str, int]) -> Outcome:
        """Wait for the attempt's evidence and judge it."""
        prefix = self._attempt_prefix(vm.attempt)
        self._vms.append({"name": vm.name, "zone": vm.zone, "attempt": vm.attempt.number})
        self._log.begin(vm.attempt.number)
        raw = Watch(
            vm=vm,
            prefix=prefix,
            limits=self._job.limits,
            store=self._s.store,
            machines=self._s.machines,
            clock=self._s.clock,
            supply=self._s.kits.supply_cpython,
            relay=lambda line: self._s.voice.relay(self._job.job, line),
            log=self._log,
        ).until_evidence()
        try:
            evidence = parse_evidence(raw)
        except EvidenceError as error:
            raise EnvironmentFailed(
                f"VM {vm.name} left evidence that cannot be read: {error}",
                reason="evidence_unreadable",
                advice="A fresh VM may do better.",
            ) from error
        listing = {item.name.removeprefix(prefix): item for item in self._s.store.list(prefix)}
        verdict = judge(
            self._expected(vm.attempt, generations), evidence, self._executed(evidence, listing), listing
        )
        proven = [item for item in evidence.objects if item.name in listing]
        return Outcome(
            verdict=verdict,
            objects=tuple(listing[item.name] for item in proven),
            names=tuple(item.name for item in proven),
            facts=read_object(raw),
            packages=evidence.packages.overlay if evidence.packages else (),
        )

    def _executed(self, evidence: Evidence, listing: Mapping[str, Listed]) -> bytes | None:
        """The executed notebook, at the very generation that the listing shows."""
        item = listing.get(evidence.executed_notebook or "")
        return None if item is None else self._s.store.read(item.name, generation=item.generation)

    def _expected(self, attempt: Attempt, generations: Mapping[str, int]) -> Expected:
        return Expected(
            run=attempt.run,
            job=attempt.job,
            attempt=attempt.number,
            nonce=attempt.nonce,
            job_sha256=self._parcel.job_sha256,
            workspace_sha256=self._parcel.workspace.sha256,
            parameters_sha256=self._parcel.parameters_sha256,
            generations=generations,
            notebook=self._job.notebook,
            parameters=self._job.parameters,
            secrets=self._job.secrets,
            service_account=self._job.vm.service_account,
            expect=self._job.expect,
            name=self._job.name,
            machine_type=self._job.vm.machine_type,
            timeout=self._job.limits.notebook,
            cell_timeout=self._job.limits.cell,
        )

    def _publish(self, outcome: Outcome, attempts: int, seconds: float) -> tuple[Verdict, str]:
        """Publish the last attempt; a green verdict whose results cannot be published is not green."""
        target = self._s.plan.output_prefix(self._s.run, self._job.job)
        fallback = self._s.plan.location.object("results", self._s.run, self._job.job) + "/"
        publication = Publication(
            run=self._s.run,
            objects=outcome.objects,
            names=outcome.names,
            log="".join(self._log.text),
            verdict=outcome.verdict,
            record={
                "job": self._job.job,
                "notebook": self._job.notebook.path,
                "notebook_sha256": self._job.notebook.sha256,
                "parameters": dict(self._job.parameters),
                "attempts": attempts,
                "seconds": round(seconds, 3),
                "vms": self._vms,
                "evidence": outcome.facts,
            },
        )
        try:
            filled = self._s.publisher.publish(target, fallback, publication)
        except CallFailed as failure:
            verdict = verdict_of(call_error(failure)) if outcome.verdict.green else outcome.verdict
            self._say(f"results could not be published: {failure}")
            return verdict, ""
        folder = f"gs://{self._s.store.bucket}/{filled.prefix}"
        if filled.prefix != target:
            self._say(
                f"gs://{self._s.store.bucket}/{target} stays another run's, which is green or came later; "
                f"this one's results are in {folder}"
            )
        elif filled.replaced:
            self._say(f"{folder} held the green results of {filled.replaced}; now it holds this run's")
        return outcome.verdict, folder

    def _take_down(self, vm: Vm) -> None:
        ending = self._s.fleet.take_down(vm)
        if ending is Ending.GONE:
            self._say(f"VM {vm.name} deleted")
        else:
            self._say(f"VM {vm.name} in {vm.zone} could not be deleted: {vm.trouble}")

    def _say(self, text: str) -> None:
        self._s.voice.say(self._job.job, text)


def verdict_of(error: BuilderError) -> Verdict:
    """The verdict on a job that an error ended."""
    return Verdict(
        exit_code=ExitCode(error.exit_code), reason=error.reason, message=error.message, advice=error.advice
    )


BUG = Verdict(
    exit_code=ExitCode.BUG,
    reason="bug",
    message="A bug in Notebook Builder; the traceback stands above.",
    advice="Please report it with the log of this build.",
)


def call_error(failure: CallFailed) -> BuilderError:
    """What a call that failed for good means for the run: set-up (4) or environment (6)."""
    if failure.http_status in _FORBIDDEN:
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: {failure.message}",
            reason="permission_denied",
            advice="Grant the build's service account the permission that the message names.",
        )
    if failure.http_status == _NOT_FOUND and "bucket does not exist" in failure.message:
        bucket = failure.resource.removeprefix("gs://").partition("/")[0]
        return ProjectSetup(
            f"{failure.call}: there is no bucket {bucket}.",
            reason="not_found",
            advice="Create it, or correct NB_GCS_LOCATION, which names it.",
        )
    # An object that is not there (any more) is no mistake in the set-up; a bucket is.
    if failure.http_status == _NOT_FOUND and "No such object" not in failure.message:
        return ProjectSetup(
            f"{failure.call}: {failure.resource} does not exist: {failure.message}",
            reason="not_found",
            advice="Create it, or correct the option that names it.",
        )
    return EnvironmentFailed(
        f"{failure.call} on {failure.resource} failed after retries: {failure.message}",
        reason="api_unavailable",
        advice="Run again; if it persists, look at Google Cloud's status page.",
    )
