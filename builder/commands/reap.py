"""`reap`: deletes VMs of this tool whose own deadline has passed, stopped ones too; touches nothing else."""

from __future__ import annotations

import os
import sys

from builder import report
from builder.act.fleet import Ending, Fleet
from builder.act.job_run import call_error
from builder.act.sweep import sweep
from builder.act.waiting import run_aside
from builder.commands import Context
from builder.errors import BuilderError, ExitCode, Interrupted
from builder.gcp.clients import open_access
from builder.gcp.compute import GoogleMachines
from builder.options import Options
from builder.ports import CallFailed


def execute(options: Options, context: Context) -> int:
    """Sweep once and tell what was found; exit code 7 if something overdue could not be removed."""
    try:
        return run_aside(lambda: _sweep(options, context), context.cancellation)
    except Interrupted as interrupted:
        # What was not deleted by now is as overdue as before, and the next sweep's.
        report.cancelled(context.console, interrupted.exit_code, left=[], sent=[], project="")
        sys.stdout.flush()
        os._exit(interrupted.exit_code)


def _sweep(options: Options, context: Context) -> int:
    access = open_access(options.project, options.endpoints)
    machines = GoogleMachines(access, context.clock)
    fleet = Fleet(machines, context.clock, context.cancellation)
    try:
        found = sweep(machines, fleet, context.console.line)
    except CallFailed as failure:
        error: BuilderError = call_error(failure)
        report.failed(context.console, error, project=access.project)
        return error.exit_code
    if not found:
        context.console.line("nothing to reap: no VM of Notebook Builder is past its deadline")
    left = [vm for vm in found if vm.ending is not Ending.GONE]
    report.left_behind(context.console, left, project=access.project)
    return ExitCode.CLEANUP_UNCONFIRMED if left else ExitCode.GREEN
