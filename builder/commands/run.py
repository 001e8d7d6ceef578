"""`run`: plans, runs every notebook, and reports. `carry_out` is the order of the work once the plan is made."""

from __future__ import annotations

import importlib
import json
import logging
import shlex
import threading
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder import gcloud
from builder.act.proofs import Origin
from builder.act.result import RunResult
from builder.commands import Context
from builder.commands.plan import plan_of
from builder.commands.preflight import preflight
from builder.errors import REPORT_BUG, TRACEBACK_IN_LOG, BadInput, BuilderError, ExitCode, Interrupted
from builder.model import GcsLocation, region_of
from builder.options import Options
from builder.options.environment import Build
from builder.options.message import read_message
from builder.plan.build_plan import Plan
from builder.ports import BuildTime, ObjectStore
from builder.refusals import NOT_SET_UP
from builder.report import ending
from builder.report.alert import BUDGET, Alert
from builder.report.console import Console, warn
from builder.report.history import add_to_history
from builder.report.preflight import show_missing
from builder.report.run_report import RunReport
from builder.report.summary import write_build_output, write_summary
from builder.waiting import Cancellation, RealClock, run_in_background

if TYPE_CHECKING:
    from builder.act.run import Run
    from builder.gcp.clients import Access

_logger = logging.getLogger(__name__)
_BUILD_BUDGET = 10.0  # seconds for the question how long the build may last, with all its repetitions
GRACE = 1.0  # seconds for threads to remove their temporary files after a signal


def execute(options: Options, context: Context) -> int:
    """Run every chosen notebook. Returns the exit code."""
    try:
        plan = plan_of(options, context)
    except BadInput as error:
        run_in_background(partial(_alert_of_mistakes, options, error), context.cancellation)
        raise
    if options.build.builder_output and options.build.build_id is None:
        warn(_without_build_id(options))
    if plan.scheduled:
        context.console.mark_scheduled(plan.today)
    return carry_out_plan(options, context, plan)


def carry_out_plan(options: Options, context: Context, plan: Plan) -> int:
    """Run the plan, with everything that a run prints and stores. Returns the exit code."""
    return _Session(options, context, plan).execute()


def carry_out(
    run: Run,
    wanted_run_id: str | None,
    *,
    store: ObjectStore,
    location: GcsLocation,
    console: Console,
    build: Build | None = None,
    day: date | None = None,
    latest: bool = False,
    alert: Alert | None = None,
    again: str = "",
) -> ExitCode:
    """Run the jobs, write the reports, keep the proofs, publish the alert, and print the last lines.

    `latest`: versions/latest/ may name the day's results. `again`: the command that asks for the same run by a new
    event. Raises Interrupted, and BuilderError if the run as a whole cannot begin.
    """
    with run:
        result = run.execute(wanted_run_id)
        if not isinstance(result, RunResult):
            ending.duplicate(console, result, again=again)
            return result.exit_code
        result = _write_reports(result, store, location, console, build=build or Build(), day=day)
        if day is not None and latest:
            from builder.report.latest import write_latest

            write_latest(result, store, location, day, console.line)
        run.conclude(result)
        if alert is not None:
            alert.ended(result)
        ending.finished(console, result)
    return result.exit_code


def _write_reports(
    result: RunResult,
    store: ObjectStore,
    location: GcsLocation,
    console: Console,
    *,
    build: Build,
    day: date | None,
) -> RunResult:
    """Write the summary that `deploy` reads, then what people read. Returns the result with their addresses."""
    origin = Origin(build.build_id, build.commit_sha)
    result = write_summary(result, store, location, console.line, origin)
    if build.builder_output:
        write_build_output(result, Path(build.builder_output), console.line, origin)
    report = RunReport(
        result=result,
        location=location,
        build=build.build_id or "",
        commit=build.commit_sha or "",
        day=day,
        history=add_to_history(result, store, location, console.line),
    )
    # Not before the jobs have ended, since both import Jinja.
    from builder.report.files import write_files
    from builder.report.folder_page import write_folder_pages

    write_folder_pages(result, store, location, console.line)
    return write_files(report, store, console.line)


class _Session:
    """One run in this process."""

    def __init__(self, options: Options, context: Context, plan: Plan) -> None:
        self._options = options
        self._context = context
        self._plan = plan
        self._run: Run | None = None
        self._alert: Alert | None = None
        self._ended = threading.Event()

    def execute(self) -> int:
        try:
            return self._context.carry_out(self._work, self._cancelled)
        except BuilderError as error:
            ending.failed(self._context.console, error, left=self._run.left if self._run else ())
            return error.exit_code

    def _work(self) -> int:
        try:
            return self._connect_and_carry_out()
        except BuilderError as error:
            if self._alert is not None:
                self._alert.failed(self._options.run_id or "", error)
            if error.reason in NOT_SET_UP:
                self._show_missing()
            raise
        finally:
            self._ended.set()

    def _show_missing(self) -> None:
        """Print what else the project lacks, so that nobody finds it one run after another."""
        found = preflight(self._plan, self._options, self._context)
        location = self._plan.location
        region = region_of(self._plan.jobs[0].options.zones[0])
        command = gcloud.set_up_project(
            found.project,
            region,
            location.bucket,
            location.prefix,
            schedule=gcloud.needs_schedule(found.account),
        )
        show_missing(self._context.console, found.missing, command)

    def _connect_and_carry_out(self) -> int:
        # Google's libraries are imported only here, so that bad input is reported without them. The slowest is
        # imported beside the others.
        threading.Thread(
            target=importlib.import_module, args=("builder.gcp.compute_v1",), daemon=True
        ).start()
        from builder.gcp.clients import open_access
        from builder.gcp.storage import GoogleObjectStore

        try:
            access = open_access(self._options.project, self._options.endpoints)
            self._alert = _alert(self._options, access, today=self._plan.today)
            location = self._plan.location
            store = GoogleObjectStore(access, location.bucket, self._context.clock)
            self._run = self._make_run(access, store)
            event = self._options.event
            return carry_out(
                self._run,
                self._options.run_id,
                store=store,
                location=location,
                console=self._context.console,
                build=self._options.build,
                day=self._plan.today if self._plan.scheduled else None,
                latest=self._plan.latest,
                alert=self._alert,
                again=_again(event, self._plan.today) if event else "",
            )
        except (BuilderError, Interrupted):
            raise
        except Exception as error:
            _logger.exception("a bug in Notebook Builder")
            raise BuilderError(
                f"A bug in Notebook Builder ended the run ({type(error).__name__}). {TRACEBACK_IN_LOG}",
                reason="bug",
                advice=REPORT_BUG,
            ) from error

    def _make_run(self, access: Access, store: ObjectStore) -> Run:
        from builder.act.run import Run
        from builder.gcp.compute import GoogleMachines

        options, context = self._options, self._context
        build = options.build.build_id
        return Run(
            self._plan,
            store=store,
            machines=GoogleMachines(access, context.clock),
            endpoint=access.endpoint,
            clock=context.clock,
            cancellation=context.cancellation,
            progress=context.console,
            # A scheduled run leaves no proofs: what is live was proven before. `check --boot` has nothing to prove.
            origin=Origin(build, options.build.commit_sha)
            if options.command == "run" and not options.event
            else None,
            event=options.event_id if options.event else None,
            build_time=partial(self._build_time, access, build) if build else None,
        )

    def _build_time(self, access: Access, build: str) -> BuildTime | None:
        """Return the time limit of this build. Raises CallFailed after a few seconds; no verdict depends on it."""
        from builder.gcp.builds import GoogleBuilds
        from builder.gcp.rest import Rest

        rest = Rest(access, self._context.clock, timeout=_BUILD_BUDGET, budget=_BUILD_BUDGET)
        return GoogleBuilds(rest).time(build, self._options.build.location or "global")

    def _cancelled(self, interrupted: Interrupted) -> int:
        """Send the deletes, print the last lines, and return the exit code."""
        if self._run is None:
            self._ended.wait(GRACE)
            ending.cancelled(self._context.console, interrupted.exit_code)
            return interrupted.exit_code
        abandoned = self._run.abandon(interrupted)
        self._ended.wait(GRACE)
        ending.abandoned(self._context.console, abandoned)
        if abandoned.error is not None and self._alert is not None:
            self._alert.failed(self._options.run_id or "", abandoned.error)
        return abandoned.exit_code


def _without_build_id(options: Options) -> str:
    """The warning for a build step without Cloud Build's substitutions: what is unknown, and how to pass them."""
    named = "the run's id" if options.run_id else "the run's random id"
    return (
        f"this step of a build has no BUILD_ID: {named} does not tell which build it was, and the run does not know when its build "
        "ends. Write `options: {automapSubstitutions: true}` into cloudbuild.yaml, or `BUILD_ID=$BUILD_ID`, `COMMIT_SHA=$COMMIT_SHA` "
        "and `LOCATION=$LOCATION` into the step's `env`"
    )


def _alert_of_mistakes(options: Options, error: BadInput) -> None:
    """Publish that a scheduled run ended red because of bad input."""
    if options.event is None or options.alert_topic is None:
        return
    from builder.gcp.clients import open_access

    try:
        alert = _alert(options, open_access(options.project, options.endpoints), today=None)
    except BuilderError as refused:
        warn(f"the alert on this run could not be published: {refused.message}")
        return
    if alert is not None:
        alert.failed(options.run_id or "", error)


def _alert(options: Options, access: Access, *, today: date | None) -> Alert | None:
    """The alert of a scheduled run; None for other runs, and without NB_ALERT_TOPIC."""
    if options.event is None or options.alert_topic is None:
        return None
    from builder.gcp.rest import Rest
    from builder.gcp.topics import GoogleTopics

    # A clock of its own, which no cancellation ends: a run that stops because it lost its event still publishes that.
    topics = GoogleTopics(Rest(access, RealClock(Cancellation()), budget=BUDGET))
    return Alert(topics.publish, options.alert_topic, event=options.event_id, today=today, warn=warn)


def _again(event: str, today: date) -> str:
    """The command that asks for the same run by a new event."""
    message = read_message(event)
    again = {
        "today": today.isoformat(),
        **({"parameters": message.parameters} if message.parameters else {}),
        **({"publish": True} if message.publish else {}),
    }
    return f"gcloud pubsub topics publish TOPIC --message={shlex.quote(json.dumps(again))}"
