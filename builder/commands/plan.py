"""`plan`: prints what `run` would do, and calls nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from builder import report
from builder.act.staging import check_kit
from builder.commands import Context
from builder.errors import BadInput, ExitCode, Problem
from builder.options import Options
from builder.plan.choose import choose
from builder.plan.deployed import as_proven, open_workspace
from builder.plan.event import asked_of
from builder.plan.make import ChosenNotebook, Plan, describe, make_plan
from builder.plan.text import too_long


@dataclass(frozen=True)
class Planned:
    """A plan, and the notebooks that it was made of."""

    plan: Plan
    chosen: Sequence[ChosenNotebook]


def plan_of(options: Options, context: Context) -> Plan:
    """The plan for these options in this folder. Raises BadInput with every mistake."""
    plan = planned(options, context).plan
    if plan.exceeds_longest_build:
        report.warning(too_long(plan))
    return plan


def planned(options: Options, context: Context) -> Planned:
    """The plan with its notebooks. Raises BadInput with every mistake."""
    asked = asked_of(options, _now())
    workspace = open_workspace(options, context.folder)
    chosen = choose(options, workspace, asked)
    for warning in dict.fromkeys(warning for item in chosen for warning in item.warnings):
        report.warning(warning)
    return Planned(check_kit(as_proven(make_plan(options, chosen, asked), workspace)), chosen)


def mistakes(options: Options, context: Context) -> Sequence[Problem]:
    """What is wrong with the notebooks, for a run that cannot be because its options are wrong already."""
    try:
        choose(options, open_workspace(options, context.folder), asked_of(options, _now()))
    except BadInput as error:
        return error.problems
    return ()


def _now() -> datetime:
    """The only place where a plan meets the clock: which day it is follows from it, where no event says so."""
    return datetime.now(UTC)


def execute(options: Options, context: Context) -> int:
    """Print the plan; names that only a call could tell stay symbolic."""
    plan = plan_of(options, context)
    description = describe(plan, project=options.project or "<project>", run=options.run_id or "<run>")
    report.show_plan(description, as_json=options.format == "json")
    return ExitCode.GREEN
