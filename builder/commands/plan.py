"""`plan`: prints what `run` would do, and calls nothing."""

from __future__ import annotations

from collections.abc import Sequence

from builder import report
from builder.commands import Context
from builder.errors import BadInput, ExitCode, Problem
from builder.options import Options
from builder.plan.choose import choose
from builder.plan.make import Plan, describe, make_plan
from builder.plan.workspace import Workspace


def plan_of(options: Options, context: Context) -> Plan:
    """The plan for these options in this folder. Raises BadInput with every mistake."""
    chosen = choose(options, Workspace(context.folder))
    for item in chosen:
        for warning in item.warnings:
            report.warning(warning)
    return make_plan(options, chosen)


def mistakes(options: Options, context: Context) -> Sequence[Problem]:
    """What is wrong with the notebooks, for a run that cannot be because its options are wrong already."""
    try:
        choose(options, Workspace(context.folder))
    except BadInput as error:
        return error.problems
    return ()


def execute(options: Options, context: Context) -> int:
    """Print the plan; names that only a call could tell stay symbolic."""
    plan = plan_of(options, context)
    description = describe(plan, project=options.project or "<project>", run=options.run_id or "<run>")
    report.show_plan(description, as_json=options.format == "json")
    return ExitCode.GREEN
