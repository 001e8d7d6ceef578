"""`check`: asks Google whether `run` could do what it plans, and changes nothing. `--boot` also tries one VM."""

from __future__ import annotations

from dataclasses import replace

from builder.check.boot import announcement, boot_plan
from builder.commands import Context
from builder.commands.plan import plan_of
from builder.commands.preflight import preflight
from builder.commands.run import carry_out_plan
from builder.errors import ExitCode
from builder.options import Options
from builder.report.console import print_json
from builder.report.preflight import preflight_json, show_preflight


def execute(options: Options, context: Context) -> int:
    """Print the table, and boot a VM if that is asked for and can be.

    Returns the exit code that a run would end with.
    """
    plan = plan_of(options, context)
    found = context.carry_out(lambda: preflight(plan, options, context), lambda signal: signal.exit_code)
    if options.format == "json":
        print_json(preflight_json(found))
    else:
        show_preflight(context.console, found, boots=options.action == "boot")
    if options.action == "boot" and found.exit_code is ExitCode.GREEN:
        boot = boot_plan(plan)
        for line in announcement(boot):
            context.console.line(line)
        # A run of its own, which leaves the build's id to the build's notebooks.
        return carry_out_plan(replace(options, run_id=None, event=None, event_id=None), context, boot)
    return found.exit_code
