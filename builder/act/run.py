"""Carries out a plan: takes the event, names the run, runs the jobs, and returns a RunResult.

The order of the work: `Run.execute` here, then `jobs.py`, then `job_run.py` for one job: `staging.py`, `placement.py`,
`watch.py`, the verdict in `builder/judge/verdict.py`, and `publish.py`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from builder import vm
from builder.act.build_end import BuildEnd, LimitedClock
from builder.act.event_lock import EventLock
from builder.act.fleet import Fleet
from builder.act.jobs import run_jobs
from builder.act.kit_staging import KitStaging
from builder.act.lease import LeaseRenewer
from builder.act.ledger import Ledger
from builder.act.offer import Offer
from builder.act.placement import Placement
from builder.act.progress import ProgressReporter
from builder.act.proofs import Origin, keep_proofs
from builder.act.publish import Publisher
from builder.act.result import Abandoned, Duplicate, JobResult, LeftVm, RunResult, exit_code, left_vm
from builder.act.reuse import Reuse
from builder.act.run_id import claim_run_id
from builder.act.services import Services
from builder.act.staging import StagedInput, load_kit, prepare, scratch_folder
from builder.act.sweep import sweep, take_down_run
from builder.act.timeline import Timeline
from builder.act.vm import Ending
from builder.act.workspaces import Workspaces
from builder.errors import Interrupted
from builder.plan.build_plan import JobPlan, Plan
from builder.ports import BuildTime, CallFailed, Clock, Machines, ObjectStore
from builder.refusals import call_error
from builder.waiting import Cancellation, await_result

_logger = logging.getLogger(__name__)
_IO_THREADS = 16


class Run:
    """One run of a plan; a context manager that holds the event and watches the end of the build.

    `origin`: the build and commit that the proofs of green jobs name; None: the run leaves no proofs. `event`: the id
    of the event that asked for the run; only one run of an event does the work. `build_time` returns how long the build
    that runs this may last.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        store: ObjectStore,
        machines: Machines,
        endpoint: Callable[[str], str],
        clock: Clock,
        cancellation: Cancellation,
        progress: ProgressReporter,
        origin: Origin | None = None,
        event: str | None = None,
        build_time: Callable[[], BuildTime | None] | None = None,
    ) -> None:
        self._plan = plan
        self._store = store
        self._machines = machines
        self._endpoint = endpoint
        self._clock = clock
        self._cancellation = cancellation
        self._progress = progress
        self._origin = origin
        self._kit = load_kit(uv=any(job.preparation.requirements is not None for job in plan.jobs))
        self._event = self._lock(event) if event else None
        self._build_end = BuildEnd(plan, clock, build_time, stop=cancellation.cancel, report=progress.line)
        self._limited = LimitedClock(clock, self._build_end)
        ledger = Ledger(store, plan.location)
        self._fleet = Fleet(machines, clock, cancellation, ledger.record, self._ensure_owner)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(self._build_end)
        if self._event is not None:
            self._held.enter_context(self._event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def execute(self, wanted_run_id: str | None) -> RunResult | Duplicate:
        """Run the jobs. Raises Interrupted when cancelled, and BuilderError if the run as a whole cannot begin."""
        self._build_end.refuse_too_short()
        try:
            duplicate = self._take_event(wanted_run_id or "without a name yet")
            if duplicate is not None:
                return duplicate
            offer = Offer(self._machines, self._plan.jobs)  # looked up early, so that no insert waits for it
            run = claim_run_id(
                self._store, self._plan.location, wanted_run_id, self._origin.build if self._origin else None
            )
            if self._event is not None:
                self._event.hold(run)
        except CallFailed as failure:
            raise call_error(failure) from failure
        self._progress.began(self._plan, run=run, project=self._machines.project)
        began, started = datetime.now(UTC), self._clock.monotonic()
        jobs = self._run_jobs(run, offer)
        left = self.left
        return RunResult(
            run,
            jobs,
            left,
            exit_code(jobs, left),
            began=began.isoformat(timespec="seconds"),
            seconds=self._clock.monotonic() - started,
        )

    def conclude(self, result: RunResult) -> None:
        """Keep the proofs of a run whose summary is written, and mark its event as done.

        Raises Interrupted if the event is lost.
        """
        if result.summary is not None and self._origin is not None:
            keep_proofs(
                self._store,
                self._plan.location,
                result.jobs,
                run=result.run,
                origin=self._origin,
                kit=self._kit.sha256,
                summary=result.summary,
                report=self._progress.line,
            )
        if self._event is not None:
            self._event.finish(result.color)

    @property
    def left(self) -> Sequence[LeftVm]:
        """The VMs whose deletion is not confirmed."""
        return [left_vm(machine, self._machines.project) for machine in self._fleet.open()]

    def abandon(self, interrupted: Interrupted) -> Abandoned:
        """Send the deletes of all VMs within seconds, without waiting for their end. For a run that was cancelled."""
        before = self.left
        self._fleet.abandon()
        left = self.left
        names = {machine.name for machine in left}
        return Abandoned(
            exit_code=interrupted.exit_code,
            deleting=[machine for machine in before if machine.name not in names],
            left=left,
            error=interrupted.error,
        )

    def _lock(self, event: str) -> EventLock:
        return EventLock(
            self._store,
            self._plan.location,
            event,
            clock=self._clock,
            stop=self._cancellation.cancel,
            report=self._progress.line,
        )

    def _take_event(self, run: str) -> Duplicate | None:
        """Take the event for this run, and delete the VMs of a dead run that had it. Raises CallFailed.

        Returns the other run if it has the event and lives, or is done.
        """
        if self._event is None:
            return None
        holder = self._event.take(run)
        if holder is not None:
            address = f"gs://{self._store.bucket}/{self._event.object}"
            return Duplicate(holder.run, holder.verdict, address)
        if self._event.former:
            fleet = Fleet(self._machines, self._clock, self._cancellation)
            take_down_run(self._machines, fleet, self._event.former, self._progress.line)
        return None

    def _confirm_event(self) -> None:
        """Raise Interrupted if another run has the event by now, CallFailed if that cannot be read."""
        if self._event is not None:
            self._event.confirm()

    def _ensure_owner(self) -> None:
        """Like `_confirm_event`, but raises BuilderError instead of CallFailed. Called before each request for a VM."""
        try:
            self._confirm_event()
        except CallFailed as failure:
            raise call_error(failure) from failure

    def _run_jobs(self, run: str, offer: Offer) -> Sequence[JobResult]:
        """Stage the input and run all jobs; meanwhile, sweep what earlier runs left."""
        store, location, plan = self._store, self._plan.location, self._plan
        with (
            scratch_folder() as folder,
            Workspaces(plan.jobs, store=store, location=location, run=run, folder=folder) as workspaces,
            LeaseRenewer(store, location, run, self._progress.line) as lease,
        ):

            def staged_input(job: JobPlan) -> StagedInput:
                return prepare(job, workspaces.of(job), run=run, location=location)

            for job in plan.jobs:
                if job.proven is not None:
                    staged_input(job)  # raises unless all of what was proven is there, before any VM is
            io = ThreadPoolExecutor(max_workers=_IO_THREADS + 2 * plan.concurrency, thread_name_prefix="io")
            sweeping = io.submit(self._sweep)
            services = self._services(run, workspaces, lease, offer, io)
            try:
                results = run_jobs(services, staged_input, self._cancellation)
                await_result(sweeping, self._cancellation)
                self._take_down_forgotten()
            finally:
                io.shutdown(wait=False, cancel_futures=True)
            return results

    def _services(
        self, run: str, workspaces: Workspaces, lease: LeaseRenewer, offer: Offer, io: ThreadPoolExecutor
    ) -> Services:
        timeline = Timeline(self._progress.report, self._clock)
        placement = Placement(
            self._machines, self._fleet, self._limited, report=timeline.report, log=self._progress.line
        )
        return Services(
            plan=self._plan,
            run=run,
            store=self._store,
            machines=self._machines,
            fleet=self._fleet,
            placement=placement,
            workspaces=workspaces,
            kits=KitStaging(self._store, self._plan.location, self._kit),
            publisher=Publisher(self._store, self._plan.location, io, self._confirm_event),
            clock=self._limited,
            check_time_left=self._build_end.check,
            pool=io,
            progress=self._progress,
            timeline=timeline,
            reuse=self._reuse(),
            startup_script=vm.startup_script(),
            endpoint=self._endpoint,
            offer=offer,
            lease=lease.object,
            stop=threading.Event(),
        )

    def _reuse(self) -> Reuse | None:
        age = self._plan.reuse_seconds
        return None if age is None else Reuse(self._store, self._plan.location, age, self._machines.now)

    def _sweep(self) -> None:
        try:
            fleet = Fleet(self._machines, self._clock, self._cancellation)
            sweep(self._machines, fleet, self._progress.line, store=self._store, location=self._plan.location)
        except CallFailed as failure:
            self._progress.line(f"warning: leftovers of earlier runs were not looked for: {failure}")
        except Exception:  # this run's verdict does not depend on what other runs left
            _logger.exception("sweep")

    def _take_down_forgotten(self) -> None:
        """Delete the VMs that a bug in a job left. A delete that fails does not stop the others."""
        for machine in self._fleet.open():
            if machine.state.ending is Ending.OPEN:
                try:
                    self._fleet.take_down(machine)
                except Exception:  # the verdict is known, and the last lines name what is left
                    _logger.exception("VM %s", machine.name)
