"""`reap`: deletes VMs of this tool whose own deadline has passed, stopped ones too; touches nothing else."""

from __future__ import annotations

from builder.act.fleet import Fleet
from builder.act.result import left_vm
from builder.act.sweep import sweep
from builder.act.vm import Ending
from builder.commands import Context
from builder.errors import ExitCode, Interrupted
from builder.gcp.clients import open_access
from builder.gcp.compute import GoogleMachines
from builder.options import Options
from builder.ports import CallFailed
from builder.refusals import call_error
from builder.report import ending


def execute(options: Options, context: Context) -> int:
    """Sweep once and print what was found. Returns 7 if a VM past its deadline could not be deleted."""

    def cancelled(signal: Interrupted) -> int:
        ending.cancelled(context.console, signal.exit_code)
        return signal.exit_code

    return context.carry_out(lambda: _sweep(options, context), cancelled)


def _sweep(options: Options, context: Context) -> int:
    access = open_access(options.project, options.endpoints)
    machines = GoogleMachines(access, context.clock)
    fleet = Fleet(machines, context.clock, context.cancellation)
    try:
        found = sweep(machines, fleet, context.console.line)
    except CallFailed as failure:
        error = call_error(failure)
        ending.failed(context.console, error)
        return error.exit_code
    if not found:
        context.console.line("nothing to reap: no VM of Notebook Builder is past its deadline")
    left = [left_vm(vm, access.project) for vm in found if vm.state.ending is not Ending.GONE]
    ending.left_behind(context.console, left)
    return ExitCode.CLEANUP_UNCONFIRMED if left else ExitCode.GREEN
