"""`run`: the composition root of a run: plan first, then Google's doors, then the run itself."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shlex
import sys
import threading
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from builder import report
from builder.act.alert import BUDGET, Alert
from builder.act.fleet import Vm
from builder.act.proofs import Origin
from builder.act.waiting import STOPPED, Cancellation, RealClock, run_aside
from builder.commands import Context
from builder.commands.plan import plan_of
from builder.errors import BadInput, BuilderError, Interrupted
from builder.options import Event, Options
from builder.options.message import read_message
from builder.plan.make import Plan
from builder.ports import BuildTime

if TYPE_CHECKING:
    from builder.act.run import Run
    from builder.gcp.clients import Access

_logger = logging.getLogger(__name__)
_BUILD_BUDGET = 10.0  # seconds for the question how long the build may last, with all its repetitions
_GRACE = 1.0  # seconds for threads to remove their temporary files after a signal


def execute(options: Options, context: Context) -> int:
    """Run every chosen notebook; the exit code says how it went."""
    try:
        plan = plan_of(options, context)
    except BadInput as error:
        run_aside(partial(_tell_of_mistakes, options, error), context.cancellation)
        raise
    if plan.scheduled:
        report.scheduled(context.console, plan.today)
    return _Session(options, context, plan).execute()


def _tell_of_mistakes(options: Options, error: BadInput) -> None:
    """A scheduled run with bad input has ended red, too; somebody may have to hear of it."""
    if options.event is None or options.alert_topic is None:
        return
    from builder.gcp.clients import open_access

    try:
        alert = _alert(options, open_access(options.project, options.endpoints), today=None)
    except BuilderError as refused:
        report.warning(f"nobody could be told of this run: {refused.message}")
        return
    if alert is not None:
        alert.failed(options.run_id or "", error)


def _alert(options: Options, access: Access, *, today: date | None) -> Alert | None:
    """Who is told when a scheduled run ends red, or leaves a VM. None: nobody."""
    if options.event is None or options.alert_topic is None:
        return None
    from builder.gcp.topics import GoogleTopics

    # A clock of its own: a run that is stopped because its event is lost still tells so.
    return Alert(
        GoogleTopics(access, RealClock(Cancellation()), budget=BUDGET),
        options.alert_topic,
        event=options.event.id,
        today=today,
        tell=report.warning,
    )


def _again(event: Event, today: date) -> str:
    """The command that asks for the same run by a new event."""
    given = read_message(event.message).parameters
    message = {"today": today.isoformat(), **({"parameters": given} if given else {})}
    return f"gcloud pubsub topics publish TOPIC --message={shlex.quote(json.dumps(message))}"


class _Session:
    """One run in this process. Everything that may wait does so beside the main thread, which alone hears signals."""

    def __init__(self, options: Options, context: Context, plan: Plan) -> None:
        self._options = options
        self._context = context
        self._plan = plan
        self._run: Run | None = None
        self._alert: Alert | None = None
        self._ended = threading.Event()

    def execute(self) -> int:
        try:
            return run_aside(self._work, self._context.cancellation)
        except Interrupted as interrupted:
            self._leave(interrupted)
        except BuilderError as error:
            left = self._run.fleet.open() if self._run else []
            project = self._run.project if self._run else self._options.project or ""
            report.failed(self._context.console, error, left=left, project=project)
            return error.exit_code

    def _work(self) -> int:
        try:
            return self._carry_out()
        except BuilderError as error:
            if self._alert is not None:
                self._alert.failed(self._options.run_id or "", error)
            raise
        finally:
            self._ended.set()

    def _carry_out(self) -> int:
        try:
            self._run = self._compose()
            return self._run.execute(self._options.run_id)
        except (BuilderError, Interrupted):
            raise
        except Exception as error:
            _logger.exception("a bug in Notebook Builder")
            raise BuilderError(
                f"A bug in Notebook Builder: {type(error).__name__}; the traceback stands above.",
                reason="bug",
                advice="Please report it with the log of this build.",
            ) from error

    def _compose(self) -> Run:
        # Google's libraries only from here on: bad input is told without them. The slowest is imported beside the rest.
        threading.Thread(
            target=importlib.import_module, args=("google.cloud.compute_v1",), daemon=True
        ).start()
        from builder.act.run import Run
        from builder.gcp.clients import open_access
        from builder.gcp.storage import GoogleObjectStore

        context = self._context
        access = open_access(self._options.project, self._options.endpoints)
        self._alert = _alert(self._options, access, today=self._plan.today)
        store = GoogleObjectStore(access, self._plan.location.bucket, context.clock)
        from builder.gcp.compute import GoogleMachines

        build = self._options.build.build_id
        return Run(
            self._plan,
            store=store,
            machines=GoogleMachines(access, context.clock),
            endpoint=access.endpoint,
            clock=context.clock,
            cancellation=context.cancellation,
            console=context.console,
            origin=self._origin(),
            event=self._options.event.id if self._options.event else None,
            again=_again(self._options.event, self._plan.today) if self._options.event else "",
            alert=self._alert,
            build_time=partial(self._build_time, access, build) if build else None,
        )

    def _build_time(self, access: Access, build: str) -> BuildTime | None:
        """How long this build may last. Raises CallFailed, after a few seconds; no verdict depends on the answer."""
        from builder.gcp.builds import GoogleBuilds

        builds = GoogleBuilds(access, self._context.clock, timeout=_BUILD_BUDGET, budget=_BUILD_BUDGET)
        return builds.time(build, self._options.build.location or "global")

    def _origin(self) -> Origin | None:
        """Whose proofs this run's are. A scheduled run has none: what is live was proven before."""
        build = self._options.build
        return None if self._options.event else Origin(build.build_id, build.commit_sha)

    def _leave(self, interrupted: Interrupted) -> NoReturn:
        left: list[Vm] = []
        sent: list[Vm] = []
        project = ""
        if self._run is not None:
            fleet, project = self._run.fleet, self._run.project
            requested = fleet.open()
            fleet.abandon()
            left = list(fleet.open())
            sent = [vm for vm in requested if vm not in left]
        self._ended.wait(_GRACE)
        stopped = self._run.stopped if self._run and interrupted.signum == STOPPED else None
        code = stopped.exit_code if stopped else interrupted.exit_code
        report.cancelled(self._context.console, code, left=left, sent=sent, project=project, error=stopped)
        sys.stdout.flush()
        if stopped is not None and self._alert is not None:
            self._alert.failed(self._options.run_id or "", stopped)
        # Threads may sit in calls that last longer than the few seconds that a cancelled build is given.
        os._exit(code)
