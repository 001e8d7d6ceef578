"""`check`: asks Google whether `run` could do what it plans, and changes nothing."""

from __future__ import annotations

import os
import sys

from builder import report
from builder.act.waiting import run_aside
from builder.check.ask import Doors, ask_all
from builder.check.findings import Findings, findings
from builder.commands import Context
from builder.commands.plan import plan_of
from builder.errors import Interrupted
from builder.options import Options
from builder.plan.make import Plan

_BUDGET = 30.0  # seconds for one question with all its repetitions: somebody waits for the table


def execute(options: Options, context: Context) -> int:
    """Print the table; the exit code says what a run would end with."""
    plan = plan_of(options, context)
    try:
        found = run_aside(lambda: _look(plan, options, context), context.cancellation)
    except Interrupted as interrupted:
        sys.stdout.flush()
        os._exit(interrupted.exit_code)  # the questions under way may last
    report.preflight(context.console, found, as_json=options.format == "json")
    return found.exit_code


def _look(plan: Plan, options: Options, context: Context) -> Findings:
    from builder.gcp.catalog import GoogleCatalog
    from builder.gcp.clients import open_access
    from builder.gcp.compute import GoogleMachines
    from builder.gcp.project import GoogleProject
    from builder.gcp.storage import GoogleObjectStore

    access, clock = open_access(options.project, options.endpoints), context.clock
    doors = Doors(
        machines=GoogleMachines(access, clock, budget=_BUDGET),
        catalog=GoogleCatalog(access, clock, budget=_BUDGET),
        project=GoogleProject(access, clock, budget=_BUDGET),
        bucket=GoogleObjectStore(access, plan.location.bucket, clock, budget=_BUDGET),
    )
    return findings(plan, access.project, ask_all(plan, access.project, doors))
