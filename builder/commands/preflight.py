"""Asks Google what a plan needs: for `check`, and for a `run` in a project that is not set up."""

from __future__ import annotations

from builder.check.ask import Clients, ask_all
from builder.check.findings import Findings, findings
from builder.commands import Context
from builder.options import Options
from builder.plan.build_plan import Plan

_BUDGET = 30.0  # seconds for one question with all its repetitions: somebody waits for the table


def preflight(plan: Plan, options: Options, context: Context) -> Findings:
    """Return the rows of `check`. Changes nothing."""
    from builder.gcp.catalog import GoogleCatalog
    from builder.gcp.clients import open_access
    from builder.gcp.compute import GoogleMachines
    from builder.gcp.project import GoogleProject
    from builder.gcp.storage import GoogleObjectStore

    access, clock = open_access(options.project, options.endpoints), context.clock
    clients = Clients(
        machines=GoogleMachines(access, clock, budget=_BUDGET),
        catalog=GoogleCatalog(access, clock, budget=_BUDGET),
        project=GoogleProject(access, clock, budget=_BUDGET),
        bucket=GoogleObjectStore(access, plan.location.bucket, clock, budget=_BUDGET),
    )
    return findings(plan, access.project, ask_all(plan, access.project, clients))
