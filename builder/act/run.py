"""`run`: carries out a plan, job by job on a few threads, and tells the whole of it at the end."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from builder import report, vm
from builder.act.alert import Alert
from builder.act.build_end import BuildEnd, LimitedClock
from builder.act.event_lock import EventLock, Holder
from builder.act.fleet import Ending, Fleet
from builder.act.job_run import BUG, JobRun, Services, call_error, verdict_of
from builder.act.kit_staging import KitStaging
from builder.act.lease import Lease
from builder.act.ledger import Ledger
from builder.act.offer import Offer
from builder.act.placement import Placement
from builder.act.proofs import Origin, keep_proofs
from builder.act.publish import Publisher
from builder.act.result import JobResult, exit_code, summary, unjudged
from builder.act.staging import Parcel, Staging, load_kit, prepare, scratch_folder
from builder.act.sweep import sweep, take_down_run
from builder.act.waiting import STOPPED, Cancellation
from builder.act.workspaces import Workspaces
from builder.errors import BuilderError, EnvironmentFailed, ExitCode
from builder.kit import Kit
from builder.model import Listed, Verdict
from builder.plan.make import ImageChoice, JobPlan, Plan
from builder.ports import BuildTime, CallFailed, Clock, Image, Machines, ObjectStore

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_LOOK = 0.2  # seconds between two looks at signals while jobs run
_IO_THREADS = 16
_MOST_SUFFIXES = 100
_NOT_STARTED = Verdict(ExitCode.NOTEBOOK_FAILED, "not_started", "NB_FAIL_FAST: an earlier notebook failed.")


class Run:
    """One run of a plan. The doors come from the caller, so that nothing here knows Google.

    `origin`: whose proofs the green jobs are, for `deploy`; None leaves none. `event`: the id of the event that asked for
    the run; of all runs of one event, one does anything. `again`: the command that asks for the same by another event.
    `alert` is told of an end that somebody has to look at. `build_time` returns how long the build that runs this may last.
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
        console: report.Console,
        origin: Origin | None = None,
        event: str | None = None,
        again: str = "",
        alert: Alert | None = None,
        build_time: Callable[[], BuildTime | None] | None = None,
    ) -> None:
        self._plan = plan
        self._store = store
        self._machines = machines
        self._endpoint = endpoint
        self._clock = clock
        self._cancellation = cancellation
        self._console = console
        self._origin = origin
        self._again = again
        self._alert = alert
        self.project = machines.project
        self.event = self._lock(event) if event else None
        self.fleet = Fleet(machines, clock, cancellation, Ledger(store, plan.location).note, self._permit)
        self._build_end = BuildEnd(
            plan, clock, build_time, stop=lambda: cancellation.cancel(STOPPED), tell=console.line
        )
        self._limited = LimitedClock(clock, self._build_end)
        self._placement = Placement(machines, self.fleet, self._limited, console.say)
        self._images: dict[ImageChoice, Image] = {}
        self._images_lock = threading.Lock()

    @property
    def stopped(self) -> BuilderError | None:
        """Why the run stopped itself; None where it did not."""
        lost = self.event.lost if self.event else None
        return lost or self._build_end.over

    def execute(self, wanted_run_id: str | None) -> ExitCode:
        """Do it all. Raises Interrupted on a signal and BuilderError where the run as a whole cannot begin."""
        runner_kit = load_kit()
        with self._build_end:
            return self._execute_once(runner_kit, wanted_run_id)

    def _execute_once(self, runner_kit: Kit, wanted_run_id: str | None) -> ExitCode:
        """Do it all, unless the event is another run's."""
        if self.event is None:
            return self._execute(runner_kit, wanted_run_id)
        with self.event as event:
            holder = self._take(event, wanted_run_id)
            if holder is None:
                return self._execute(runner_kit, wanted_run_id)
        address = f"gs://{self._store.bucket}/{event.object}"
        return report.duplicate(self._console, holder, event=address, again=self._again)

    def _lock(self, event: str) -> EventLock:
        return EventLock(
            self._store,
            self._plan.location,
            event,
            clock=self._clock,
            stop=lambda: self._cancellation.cancel(STOPPED),
            tell=self._console.line,
        )

    def _permit(self) -> None:
        """Whether there may be a VM of ours: raises BuilderError where nobody can tell, Interrupted where the event is lost."""
        try:
            self._confirm()
        except CallFailed as failure:
            raise call_error(failure) from failure

    def _confirm(self) -> None:
        if self.event is not None:
            self.event.confirm()

    def _take(self, event: EventLock, wanted: str | None) -> Holder | None:
        """The event for this run, and an end to what a dead run of it left; or whose it is."""
        try:
            holder = event.take(wanted or "without a name yet")
            if holder is None and event.former:
                fleet = Fleet(self._machines, self._clock, self._cancellation)
                take_down_run(self._machines, fleet, event.former, self._console.line)
        except CallFailed as failure:
            raise call_error(failure) from failure
        return holder

    def _execute(self, runner_kit: Kit, wanted_run_id: str | None) -> ExitCode:
        offer = Offer(self._machines, self._plan.jobs)  # first, so that no insert waits for the look-up
        try:
            run = self._claim(wanted_run_id)
            if self.event is not None:
                self.event.hold(run)
        except CallFailed as failure:
            raise call_error(failure) from failure
        report.opening(self._console, self._plan, run=run, project=self._machines.project)
        location = self._plan.location
        with (
            scratch_folder() as folder,
            Workspaces(
                self._plan.jobs, store=self._store, location=location, run=run, folder=folder
            ) as workspaces,
            Lease(self._store, location, run) as lease,
        ):

            def parcel_of(job: JobPlan) -> Parcel:
                return prepare(job, workspaces.of(job), run=run, location=location)

            for job in self._plan.jobs:
                if job.proven is not None:
                    parcel_of(job)  # all of what was tested, or no VM for any of it
            results = self._run_jobs(
                run,
                parcel_of,
                staging=Staging(self._store, workspaces),
                kits=KitStaging(self._store, location, runner_kit),
                lease=lease,
                offer=offer,
            )
        return self._conclude(run, results, runner_kit)

    def _conclude(self, run: str, results: Sequence[JobResult], runner_kit: Kit) -> ExitCode:
        """The run's end once its jobs are judged: summary, proofs, the event, whoever is to be told, and the last lines."""
        left = self.fleet.open()
        code = exit_code(results, left)
        written = self._write_summary(run, results, code)
        if written is None and code is ExitCode.GREEN:
            # Whoever reads the results looks there first: without it a run is no proof of anything.
            code = ExitCode.ENVIRONMENT_FAILED
        if written is not None and self._origin is not None:
            keep_proofs(
                self._store,
                self._plan.location,
                results,
                run=run,
                origin=self._origin,
                kit=runner_kit.sha256,
                summary=written,
                tell=self._console.line,
            )
        if self.event is not None:
            self.event.finish(summary(run, results, code)["verdict"])
        address = f"gs://{self._store.bucket}/{written.name}" if written else ""
        if self._alert is not None:
            self._alert.ended(run, results, code, report=address, left=report.left_lines(left, self.project))
        report.closing(
            self._console,
            results,
            code=code,
            report=address,
            left=left,
            project=self._machines.project,
        )
        return code

    def _claim(self, wanted: str | None) -> str:
        """A run id that nobody has: the wanted one, with -2, -3, … where it is taken, else a new one."""
        base = wanted or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        for number in range(1, _MOST_SUFFIXES):
            run = base if number == 1 else f"{base}-{number}"
            claim = json.dumps({"schema": 1, "run": run, "claim": secrets.token_hex(8)}).encode()
            name = self._plan.location.object("staging", run, "run.json")
            if self._store.create(name, claim, content_type="application/json") is not None:
                return run
        raise EnvironmentFailed(
            f"The run ids {base} to {base}-{_MOST_SUFFIXES - 1} are all taken.",
            reason="run_id_taken",
            advice="Set another NB_RUN_ID.",
        )

    def _run_jobs(
        self,
        run: str,
        parcel_of: Callable[[JobPlan], Parcel],
        *,
        staging: Staging,
        kits: KitStaging,
        lease: Lease,
        offer: Offer,
    ) -> list[JobResult]:
        jobs = ThreadPoolExecutor(max_workers=self._plan.concurrency, thread_name_prefix="job")
        io = ThreadPoolExecutor(max_workers=_IO_THREADS + 2 * self._plan.concurrency, thread_name_prefix="io")
        sweeping = io.submit(self._sweep)
        services = Services(
            plan=self._plan,
            run=run,
            store=self._store,
            machines=self._machines,
            fleet=self.fleet,
            placement=self._placement,
            staging=staging,
            kits=kits,
            publisher=Publisher(self._store, self._plan.location, io, self._confirm),
            clock=self._limited,
            permit_attempt=self._build_end.check,
            pool=io,
            voice=self._console,
            startup_script=vm.startup_script(),
            endpoint=self._endpoint,
            image=self._image,
            offer=offer,
            lease=lease.object,
            stop=threading.Event(),
        )
        try:
            futures = [jobs.submit(self._run_job, services, job, parcel_of) for job in self._plan.jobs]
            results = [self._await(future) for future in futures]
            self._await(sweeping)
            self._take_down_forgotten()
        finally:
            jobs.shutdown(wait=False, cancel_futures=True)
            io.shutdown(wait=False, cancel_futures=True)
        return results

    def _take_down_forgotten(self) -> None:
        """What a bug in a job may have left: each VM is tried, whatever becomes of the others."""
        for machine in self.fleet.open():
            if machine.ending is Ending.OPEN:
                try:
                    self.fleet.take_down(machine)
                except Exception:  # the verdict is known, and the last lines name what is left
                    _logger.exception("VM %s", machine.name)

    def _await(self, future: Future[T]) -> T:
        """The future's result, with an eye on the stop sign: a job that is stuck in a call must not hold a cancelled run."""
        while not future.done():
            self._cancellation.check()
            wait([future], timeout=_LOOK)
        self._cancellation.check()
        return future.result()

    def _run_job(self, services: Services, job: JobPlan, parcel_of: Callable[[JobPlan], Parcel]) -> JobResult:
        if services.stop.is_set():
            return unjudged(job, _NOT_STARTED)
        try:
            services.permit_attempt()
            return JobRun(services, job, parcel_of(job)).execute()
        except BuilderError as error:
            if self._plan.fail_fast:
                services.stop.set()
            return unjudged(job, verdict_of(error))
        except Exception:  # the edge of a job: the other jobs and every teardown go on
            _logger.exception("job %s", job.job)
            return unjudged(job, BUG)

    def _image(self, job: JobPlan) -> Image:
        """The job's exact image, resolved once per run so that all attempts see the same."""
        with self._images_lock:
            if job.image not in self._images:
                image = self._placement.resolve_image(job.image)
                self._images[job.image] = image
                note = " (deprecated)" if image.deprecated else ""
                self._console.line(f"image {job.image} is {image.path}{note}")
            return self._images[job.image]

    def _sweep(self) -> None:
        try:
            sweep(
                self._machines,
                Fleet(self._machines, self._clock, self._cancellation),
                self._console.line,
                store=self._store,
                location=self._plan.location,
            )
        except CallFailed as failure:
            self._console.line(f"warning: leftovers of earlier runs were not looked for: {failure}")
        except Exception:  # this run's verdict does not depend on what other runs left
            _logger.exception("sweep")

    def _write_summary(self, run: str, results: Sequence[JobResult], code: ExitCode) -> Listed | None:
        document = (
            json.dumps(summary(run, results, code), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        )
        name = self._plan.location.object("results", run, "summary.json")
        try:
            return self._store.replace(name, document.encode(), content_type="application/json")
        except CallFailed as failure:
            self._console.line(f"warning: the summary could not be written: {failure}")
            return None
