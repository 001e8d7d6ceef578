"""`deploy`: the composition root: what is to go live first, without a call; then Google's doors, then one of four actions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from builder import __version__, report
from builder.act.staging import load_kit, scratch_folder
from builder.act.waiting import run_aside
from builder.act.workspaces import pack_each
from builder.commands import Context
from builder.commands.plan import planned
from builder.deploy.beliefs import Claim
from builder.deploy.function_source import function_source
from builder.deploy.promotion import Request, promote
from builder.deploy.refusals import call_refused
from builder.deploy.status import status_lines
from builder.deploy.target import Outcome, Target
from builder.deploy.withdrawal import roll_back, undeploy
from builder.deploy.work import caller_of
from builder.errors import ExitCode, Interrupted
from builder.options import Options
from builder.plan.inputs import inputs_sha256
from builder.ports import CallFailed


def execute(options: Options, context: Context) -> int:
    """Do what was asked for; the exit code says how it went."""
    if options.action:
        return _carry_out(None, options, context)
    with scratch_folder() as folder:
        return _carry_out(_request(options, context, folder), options, context)


def _carry_out(request: Request | None, options: Options, context: Context) -> int:
    try:
        outcome = run_aside(lambda: _act(request, options, context), context.cancellation)
    except Interrupted as interrupted:
        report.not_deployed(context.console, interrupted.exit_code, options.action)
        sys.stdout.flush()
        os._exit(interrupted.exit_code)
    if outcome is not None:
        report.deployed(context.console, outcome.message)
    return ExitCode.GREEN


def _request(options: Options, context: Context, folder: Path) -> Request:
    ready = planned(options, context)
    runner_kit = load_kit()
    packed = {job: archive.sha256 for job, archive in pack_each(ready.plan.jobs, folder).items()}
    claims = [Claim(job, inputs_sha256(job, packed[job.job], runner_kit.sha256)) for job in ready.plan.jobs]
    return Request(ready.plan, ready.chosen, claims, packed, runner_kit.sha256, folder)


def _act(request: Request | None, options: Options, context: Context) -> Outcome | None:
    target = _target(options, context)
    try:
        if request is not None:
            return promote(request, target)
        if options.action == "status":
            for line in status_lines(target):
                context.console.line(line)
            return None
        return roll_back(target) if options.action == "rollback" else undeploy(target)
    except CallFailed as failure:
        raise call_refused(failure, caller_of(target.doors)) from failure


def _target(options: Options, context: Context) -> Target:
    # Google's libraries only from here on: bad input is told without them.
    from builder.gcp.clients import open_access
    from builder.gcp.deploying import open_doors
    from builder.gcp.storage import GoogleObjectStore

    if options.deployment is None:
        raise AssertionError
    access = open_access(options.project, options.endpoints)
    deployment = options.deployment
    context.console.line(
        f"notebook-builder {__version__}: deploy {deployment.function} in project {access.project}, {deployment.region}"
    )
    return Target(
        options=options,
        deployment=deployment,
        project=access.project,
        store=GoogleObjectStore(access, options.location.bucket, context.clock),
        doors=open_doors(access, context.clock),
        source=function_source(),
        say=context.console.line,
    )
