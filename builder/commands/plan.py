"""`plan`: prints what `run` would do, without any call but with `--proofs`. Makes the plan for the other commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from builder.act.staging import check_kit, load_kit, scratch_folder
from builder.act.workspaces import pack_each
from builder.commands import Context
from builder.deploy.proof_lookup import describe_proofs, proof_request
from builder.errors import BadInput, ExitCode, Problem
from builder.options import Options
from builder.plain_text import log_line
from builder.plan.build_plan import ChosenNotebook, Plan, build_plan, describe
from builder.plan.choose import choose
from builder.plan.deployed import as_proven, open_workspace
from builder.plan.event import run_request
from builder.ports import CallFailed
from builder.refusals import call_error
from builder.report.console import print_document, print_json, warn
from builder.report.plan import plan_lines, too_long


def plan_of(options: Options, context: Context) -> Plan:
    """The plan for these options in this folder. Raises BadInput with every mistake."""
    plan, _ = planned(options, context)
    if plan.exceeds_longest_build:
        warn(too_long(plan))
    return plan


def planned(options: Options, context: Context) -> tuple[Plan, Sequence[ChosenNotebook]]:
    """The plan, and the notebooks that it was made from. Raises BadInput with every mistake."""
    request = run_request(options, _now())
    workspace = open_workspace(options, context.folder)
    chosen = choose(options, workspace, request)
    for warning in dict.fromkeys(warning for item in chosen for warning in item.warnings):
        warn(warning)
    plan = replace(build_plan(options, chosen, request), modules=workspace.python_modules())
    return check_kit(as_proven(plan, workspace)), chosen


def mistakes(options: Options, context: Context) -> Sequence[Problem]:
    """The mistakes in the notebooks, to report them beside mistakes in the options."""
    try:
        choose(options, open_workspace(options, context.folder), run_request(options, _now()))
    except BadInput as error:
        return error.problems
    return ()


def _now() -> datetime:
    """The time from which a plan takes its day if no event names one. A plan reads the clock nowhere else."""
    return datetime.now(UTC)


def execute(options: Options, context: Context) -> int:
    """Print the plan. Names that only a call can find out stay symbolic."""
    plan = plan_of(options, context)
    description = describe(plan, project=options.project or "<project>", run=options.run_id or "<run>")
    if options.action == "proofs":
        proofs = context.carry_out(lambda: _proofs(plan, options, context), lambda signal: signal.exit_code)
        for job in description["jobs"]:
            job["proof"] = proofs[job["job"]]
    if options.format == "json":
        print_json(description)
    else:
        print_document("\n".join(map(log_line, plan_lines(description))))
    return ExitCode.GREEN


def _proofs(plan: Plan, options: Options, context: Context) -> Mapping[str, str]:
    """Return for each job, by its name, its proof in words. Raises BuilderError."""
    # Google's libraries are imported only here, so that a plan without proofs does not wait for them.
    from builder.gcp.clients import open_access
    from builder.gcp.storage import GoogleObjectStore

    access, kit = open_access(options.project, options.endpoints), load_kit()
    store = GoogleObjectStore(access, plan.location.bucket, context.clock)
    with scratch_folder() as folder:
        archives = pack_each(plan.jobs, folder)
        wanted = [proof_request(job, archives[job.job], kit.sha256) for job in plan.jobs]
    try:
        return describe_proofs(store, plan.location, wanted)
    except CallFailed as failure:
        raise call_error(failure) from failure
