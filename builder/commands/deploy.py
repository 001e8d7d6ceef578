"""`deploy`: plans without any call, then promotes, rolls back, undeploys, backfills, or prints the status."""

from __future__ import annotations

from pathlib import Path

from builder import __version__, gcloud
from builder.act.staging import load_kit, scratch_folder
from builder.act.workspaces import pack_each
from builder.commands import Context
from builder.commands.plan import planned
from builder.deploy.backfill import backfill
from builder.deploy.context import DeploymentContext
from builder.deploy.function_source import function_source
from builder.deploy.missing import missing
from builder.deploy.promotion import PromotionRequest, promote
from builder.deploy.proof_lookup import proof_request
from builder.deploy.reconcile import caller_of
from builder.deploy.refusals import call_refused
from builder.deploy.status import status_lines
from builder.deploy.withdrawal import roll_back, undeploy
from builder.errors import ExitCode, Interrupted
from builder.options import Options
from builder.options.day import DayRange
from builder.ports import CallFailed
from builder.refusals import NOT_SET_UP
from builder.report.deployment import deployed, not_deployed
from builder.report.preflight import show_missing


def execute(options: Options, context: Context) -> int:
    """Carry out the action that the options name. Returns the exit code."""
    if options.action:
        return _carry_out(None, options, context)
    with scratch_folder() as folder:
        return _carry_out(_request(options, context, folder), options, context)


def _carry_out(request: PromotionRequest | None, options: Options, context: Context) -> int:
    def cancelled(signal: Interrupted) -> int:
        action = options.action
        flag = f"backfill {action}" if isinstance(action, DayRange) else action
        not_deployed(context.console, signal.exit_code, flag)
        return signal.exit_code

    message = context.carry_out(lambda: _act(request, options, context), cancelled)
    if message is not None:
        deployed(context.console, message)
    return ExitCode.GREEN


def _request(options: Options, context: Context, folder: Path) -> PromotionRequest:
    plan, chosen = planned(options, context)
    runner_kit = load_kit()
    archives = pack_each(plan.jobs, folder)
    proof_requests = [proof_request(job, archives[job.job], runner_kit.sha256) for job in plan.jobs]
    return PromotionRequest(plan, chosen, proof_requests, runner_kit.sha256, folder)


def _act(request: PromotionRequest | None, options: Options, context: Context) -> str | None:
    """Carry out the action. Returns the sentence that reports it; None if it has printed its own lines."""
    deployment = _deployment_context(options, context)
    try:
        if request is not None:
            return promote(request, deployment)
        match options.action:
            case "status":
                for line in status_lines(deployment):
                    context.console.line(line)
                return None
            case "rollback":
                return roll_back(deployment)
            case "undeploy":
                return undeploy(deployment)
            case DayRange() as days:
                return backfill(days, deployment)
            case unknown:
                raise AssertionError(unknown)
    except CallFailed as failure:
        error = call_refused(failure, caller_of(deployment.clients))
        if error.reason in NOT_SET_UP:
            show_missing(context.console, missing(deployment, failure), _set_up(deployment))
        raise error from failure


def _set_up(deployment: DeploymentContext) -> str:
    location, region = deployment.options.gcs_location, deployment.deployment.region
    return gcloud.set_up_project(deployment.project, region, location.bucket, location.prefix, schedule=True)


def _deployment_context(options: Options, context: Context) -> DeploymentContext:
    # Google's libraries are imported only here, so that bad input is reported without them.
    from builder.gcp.clients import open_access
    from builder.gcp.deploying import open_clients
    from builder.gcp.storage import GoogleObjectStore

    if options.deployment is None:
        raise AssertionError
    access = open_access(options.project, options.endpoints)
    deployment = options.deployment
    context.console.line(
        f"notebook-builder {__version__}: deploy {deployment.function} in project {access.project}, {deployment.region}"
    )
    return DeploymentContext(
        options=options,
        deployment=deployment,
        project=access.project,
        store=GoogleObjectStore(access, options.gcs_location.bucket, context.clock),
        clients=open_clients(access, context.clock),
        source=function_source(),
        log=context.console.line,
    )
