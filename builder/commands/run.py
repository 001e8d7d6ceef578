"""`run`: the composition root of a run: plan first, then Google's doors, then the run itself."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import NoReturn

from builder import report
from builder.act.fleet import Fleet
from builder.commands import Context
from builder.commands.plan import plan_of
from builder.errors import BuilderError, Interrupted
from builder.options import Options


def execute(options: Options, context: Context) -> int:
    """Run every chosen notebook; the exit code says how it went."""
    plan = plan_of(options, context)
    # Google's libraries only from here on: bad input is told without them. The slowest is imported beside the rest.
    threading.Thread(target=importlib.import_module, args=("google.cloud.compute_v1",), daemon=True).start()
    from builder.act.run import Run
    from builder.gcp.clients import open_access
    from builder.gcp.storage import GoogleObjectStore

    access = open_access(options.project, options.endpoints)
    store = GoogleObjectStore(access, plan.location.bucket, context.clock)
    from builder.gcp.compute import GoogleMachines

    run = Run(
        plan,
        store=store,
        machines=GoogleMachines(access, context.clock),
        endpoint=access.endpoint,
        clock=context.clock,
        cancellation=context.cancellation,
        console=context.console,
    )
    try:
        return run.execute(options.run_id)
    except Interrupted as interrupted:
        _leave(interrupted, run.fleet, access.project, context)
    except BuilderError as error:
        report.failed(context.console, error, left=run.fleet.open(), project=access.project)
        return error.exit_code


def _leave(interrupted: Interrupted, fleet: Fleet, project: str, context: Context) -> NoReturn:
    requested = [vm for vm in fleet.open() if vm.requested]
    fleet.abandon()
    left = fleet.open()
    sent = [vm for vm in requested if vm not in left]
    report.cancelled(context.console, interrupted.exit_code, left=left, sent=sent, project=project)
    sys.stdout.flush()
    # Threads may sit in calls that last longer than the few seconds that a cancelled build is given.
    os._exit(interrupted.exit_code)
