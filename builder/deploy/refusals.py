"""The errors that end a deployment early. Each names the resource, what is missing, and what was done before. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from builder.deploy_ports import FunctionOperation
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup
from builder.ports import CallFailed
from builder.refusals import call_error, is_api_disabled, is_denied, is_missing_bucket, unavailable
from builder.waiting import WaitTimeout

_PERMISSION = re.compile(
    r"\b(?:(?:artifactregistry|cloudbuild|cloudfunctions|cloudscheduler|pubsub|run)\.(?!googleapis)[A-Za-z]+"
    r"|iam\.service[Aa]ccounts)\.[A-Za-z]+"  # Google writes both
)
_ACCOUNT = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com")
# Calls are named as the permission that they need, but for these.
_NEEDS = {
    "cloudfunctions.functions.generateUploadUrl": "cloudfunctions.functions.sourceCodeSet",
    "pubsub.topics.subscriptions.list": "pubsub.topics.get",
    "storage.objects.insert": "storage.objects.create",
}
# How Eventarc begins its refusals, of calls and in operations. Whose permission is missing stands in the rest, if
# anywhere.
_TRIGGER_REFUSED = ("Validation failed for trigger", "Cannot create trigger")
_TRIGGER_ADVICE = (
    "Grant Eventarc's agent, service-PROJECT_NUMBER@gcp-sa-eventarc.iam.gserviceaccount.com, roles/eventarc.serviceAgent, and "
    "see that the account of NB_TRIGGER_SERVICE_ACCOUNT exists and has the roles of docs/accounts.md; then deploy again."
)
_FUNCTIONS_ADVICE = (
    "Grant Cloud Functions' agent, service-PROJECT_NUMBER@gcf-admin-robot.iam.gserviceaccount.com, "
    "roles/cloudfunctions.serviceAgent, as setup/project.sh with --schedule does; then deploy again."
)
_BUILD_ADVICE = (
    "Read the log of the build. If a permission is missing, grant the account of NB_FUNCTION_BUILD_SERVICE_ACCOUNT its roles "
    "(docs/accounts.md). Then deploy again: that repairs the function."
)
# In a project that has not used these services before, Google's own accounts get their roles some minutes later.
_EVENTARC_IS_NEW = "ermission denied while using the Eventarc Service Agent"
_FUNCTIONS_IS_NEW = "Unable to retrieve the repository metadata"
_ACT_AS = "iam.serviceAccounts.actAs"
_CODE_PERMISSION_DENIED = 7
_FOREIGN_ADVICE = "Remove it, or choose another name with {option}."


def foreign(kind: str, path: str, option: str, owner: str = "") -> ProjectSetup:
    """A foreign resource has the name that we need.

    `option` sets that name; `owner` is the live.json that it serves, or "".
    """
    whose = f"belongs to another deployment, {owner}" if owner else "was not made by this deployment"
    return ProjectSetup(
        f"The {kind} {path} {whose}. It stays as it is.",
        reason="foreign_resource",
        advice=_FOREIGN_ADVICE.format(option=option),
    )


def elsewhere(address: str, there: str, here: str) -> ProjectSetup:
    """Return the error of a live.json that describes a deployment in another project."""
    return ProjectSetup(
        f"{address} describes a deployment in project {there}. A second one in {here} would run every notebook twice.",
        reason="other_project",
        advice=f"Run `deploy --undeploy` with PROJECT_ID={there} first, or choose another NB_GCS_LOCATION or NB_FUNCTION.",
    )


def call_refused(failure: CallFailed, caller: str) -> BuilderError:
    """Return the error for a call that failed for good: the project's set-up (4), or Google is not reachable (6)."""
    if is_api_disabled(failure) or failure.transient or is_missing_bucket(failure):
        return call_error(failure)
    if advice := _advice_on_agents(failure.message):
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: {failure.message}",
            reason="trigger_refused" if advice is _TRIGGER_ADVICE else "agent_refused",
            advice=advice,
        )
    if is_denied(failure):
        return _denied(failure, caller)
    return ProjectSetup(
        f"{failure.call} on {failure.resource} was refused: {failure.message}",
        reason="not_found" if failure.http_status == HTTPStatus.NOT_FOUND else "refused",
        advice="Correct the option that names it, or the project's set-up, and run again.",
    )


def _denied(failure: CallFailed, caller: str) -> ProjectSetup:
    permission = _permission_in(failure.message) or _NEEDS.get(failure.call, failure.call)
    who = caller or "the account that deploys"
    return ProjectSetup(
        f"{failure.call} on {failure.resource} was refused: {who} lacks {permission}: {failure.message}",
        reason="permission_denied",
        advice=_grant(who, permission, failure.message),
    )


def _permission_in(message: str) -> str:
    match = _PERMISSION.search(message)
    return match[0].replace("serviceaccounts", "serviceAccounts") if match else ""


def _grant(who: str, permission: str, message: str) -> str:
    if permission == _ACT_AS:
        others = [account for account in _ACCOUNT.findall(message) if account != who]
        target = others[0] if others else "the service account that the message names"
        return f"Grant {who} roles/iam.serviceAccountUser on {target}."
    # Not only "grant the permission": the account of pull requests has storage.objects.create below other folders, and
    # must not get it below live/.
    return (
        f"Deploy as an account with the roles of notebook-deployer (docs/accounts.md), or grant them to {who}: they include "
        f"{permission} there."
    )


def deployment_failed(
    name: str, ended: FunctionOperation, problems: Sequence[str], *, live: bool, caller: str
) -> ProjectSetup:
    """Google ended a deployment of the function with an error. `live`: the previous version still serves."""
    notes = [note for note in problems if note not in ended.message]
    reason = _sentence("; ".join([ended.message or f"code {ended.code}", *notes]))
    log = f" Its build's log is {ended.log_url}." if ended.log_url else ""
    before = "The version before is still live." if live else "No version of it is live."
    permission = _permission_in(ended.message)
    if about_agents := _advice_on_agents(ended.message):
        advice = about_agents
    elif ended.code == _CODE_PERMISSION_DENIED and permission:
        advice = _grant(caller or "the account that deploys", permission, ended.message)
    else:
        advice = _BUILD_ADVICE
    return ProjectSetup(
        f"The function {name} could not be deployed: {reason}{log} {before}",
        reason="function_failed",
        advice=advice,
    )


def is_setting_up(message: str) -> bool:
    """True if the agent of Eventarc or of Cloud Functions lacks its role (first use in a project, docs/facts.md 5)."""
    return _EVENTARC_IS_NEW in message or _FUNCTIONS_IS_NEW in message


def is_build_failure(message: str) -> bool:
    """True if the function's build failed. The operation's code does not tell: it is 3 or 13 (docs/facts.md 5)."""
    return message.startswith("Build failed")


def _advice_on_agents(message: str) -> str:
    """Return the advice if one of Google's own accounts was refused, or Eventarc refused the trigger; else ""."""
    if _FUNCTIONS_IS_NEW in message:
        return _FUNCTIONS_ADVICE
    return _TRIGGER_ADVICE if message.startswith(_TRIGGER_REFUSED) and not _permission_in(message) else ""


def deployment_kept_failing(name: str, ended: FunctionOperation, tries: int) -> EnvironmentFailed:
    """Google ended a deployment of the function with a fault of its own, at every try."""
    return unavailable(
        f"The function {name} could not be deployed in {tries} tries: {ended.message or f'code {ended.code}'}"
    )


def contested(what: str) -> EnvironmentFailed:
    """Return the error of a resource that another deployment changed during each of our attempts."""
    return EnvironmentFailed(
        f"Another deployment changed {what} during each of our attempts, or {what} does not exist yet.",
        reason="contested",
        advice="Make sure that no other deployment of the same function is running, and run again.",
    )


def operation_timed_out(timeout: WaitTimeout) -> EnvironmentFailed:
    """Google did not finish an operation in time."""
    return EnvironmentFailed(
        f"{timeout.what} did not end within {timeout.seconds:.0f} s.",
        reason="deployment_timeout",
        advice="Run again: the next deploy continues.",
    )


def with_progress(
    error: BuilderError, done: Sequence[str], left: Sequence[str], consequence: str = ""
) -> BuilderError:
    """The error with what was done before it, what was not done, and the consequence."""
    before = f"Done before: {', '.join(done) or 'nothing'}."
    after = f" Not done: {', '.join(left)}." if left else ""
    return type(error)(
        " ".join(filter(None, (_sentence(error.message), before + after, consequence))),
        reason=error.reason,
        advice=error.advice,
    )


def _sentence(text: str) -> str:
    return f"{text.rstrip().removesuffix('.')}."
