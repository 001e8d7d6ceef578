"""What ends a deployment early, told so that it can be mended: whose name, which permission, what was done already. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builder.deploy.ports import FunctionOperation
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup
from builder.ports import CallFailed

_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_FORBIDDEN = frozenset({401, 403})
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
# How Eventarc begins its refusals, of calls and in operations. Whose permission is missing stands in the rest, if anywhere.
_TRIGGER_REFUSED = ("Validation failed for trigger", "Cannot create trigger")
_TRIGGER_ADVICE = (
    "Grant Eventarc's agent, service-PROJECT_NUMBER@gcp-sa-eventarc.iam.gserviceaccount.com, roles/eventarc.serviceAgent, and "
    "see that the account of NB_TRIGGER_SERVICE_ACCOUNT exists and has the roles of docs/accounts.md; then deploy again."
)
_ACT_AS = "iam.serviceAccounts.actAs"
_CODE_PERMISSION_DENIED = 7
_UNDEPLOYED = "Remove it or rename it, or choose another name with {option}."


def foreign(kind: str, path: str, option: str, owner: str = "") -> ProjectSetup:
    """A resource of our name that is not ours; `option` is what names it, `owner` the live.json that it serves, if it does."""
    whose = f"belongs to another deployment, {owner}" if owner else "was not made by this deployment"
    return ProjectSetup(
        f"The {kind} {path} {whose}, and is left as it is.",
        reason="foreign_resource",
        advice=_UNDEPLOYED.format(option=option),
    )


def elsewhere(address: str, there: str, here: str) -> ProjectSetup:
    """live.json tells of a deployment in another project: one here would be a second one beside it."""
    return ProjectSetup(
        f"{address} is deployed in project {there}, and this is {here}: both would run what is live.",
        reason="other_project",
        advice=f"Run `deploy --undeploy` with PROJECT_ID={there} first, or choose another NB_GCS_LOCATION or NB_FUNCTION.",
    )


def call_refused(failure: CallFailed, caller: str) -> BuilderError:
    """What a call that failed for good means: the project's set-up (4), or that Google cannot be reached (6)."""
    service = failure.call.partition(".")[0]
    if failure.code in _DISABLED:
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: the API {service}.googleapis.com is not enabled.",
            reason="api_disabled",
            advice=f"gcloud services enable {service}.googleapis.com",
        )
    if _is_about_trigger(failure.message):
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: {failure.message}",
            reason="trigger_refused",
            advice=_TRIGGER_ADVICE,
        )
    if failure.http_status in _FORBIDDEN and not failure.transient:
        return _denied(failure, caller)
    if failure.transient:
        return EnvironmentFailed(
            f"{failure.call} on {failure.resource} failed after retries: {failure.message}",
            reason="api_unavailable",
            advice="Run again: it goes on where this ended. If it persists, look at Google Cloud's status page.",
        )
    return ProjectSetup(
        f"{failure.call} on {failure.resource} was refused: {failure.message}",
        reason="not_found" if failure.http_status == 404 else "refused",  # noqa: PLR2004
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
    return f"Grant {who} a role with {permission}; docs/accounts.md names those that deploying needs."


def deployment_failed(
    name: str, ended: FunctionOperation, problems: Sequence[str], *, live: bool, caller: str
) -> ProjectSetup:
    """A deployment of the function that Google ended with an error; `live`: a version before it serves on."""
    notes = [note for note in problems if note not in ended.message]
    told = _sentence("; ".join([ended.message or f"code {ended.code}", *notes]))
    log = f" Its build's log is {ended.log_url}." if ended.log_url else ""
    before = "The version before is still live." if live else "No version of it is live."
    permission = _permission_in(ended.message)
    if _is_about_trigger(ended.message):
        advice = _TRIGGER_ADVICE
    elif ended.code == _CODE_PERMISSION_DENIED and permission:
        advice = _grant(caller or "the account that deploys", permission, ended.message)
    else:
        advice = "Read the build's log and mend what it names; the next deploy repairs the function."
    return ProjectSetup(
        f"The function {name} could not be deployed: {told}{log} {before}",
        reason="function_failed",
        advice=advice,
    )


def is_setting_up(message: str) -> bool:
    """True if Eventarc's service agent lacks its role: in a project's first use of Eventarc for minutes (docs/facts.md 5)."""
    return "ermission denied while using the Eventarc Service Agent" in message


def _is_about_trigger(message: str) -> bool:
    """True if Eventarc refused the function's trigger, and names no permission that the caller lacks."""
    return message.startswith(_TRIGGER_REFUSED) and not _permission_in(message)


def deployment_passing(name: str, ended: FunctionOperation, tries: int) -> EnvironmentFailed:
    """A deployment that Google ended with a fault of its own, each time."""
    return EnvironmentFailed(
        f"The function {name} could not be deployed in {tries} tries: {ended.message or f'code {ended.code}'}",
        reason="api_unavailable",
        advice="Run again: it goes on where this ended. If it persists, look at Google Cloud's status page.",
    )


def contested(what: str) -> EnvironmentFailed:
    """Somebody else changes the same resource, each time before we can."""
    return EnvironmentFailed(
        f"{what} is being changed by others, or is not there yet, at every try.",
        reason="contested",
        advice="See that no other deployment of the same function is under way, and run again.",
    )


def waited_in_vain(what: str, seconds: float) -> EnvironmentFailed:
    """Google did not end what it was doing."""
    return EnvironmentFailed(
        f"{what} was not over after {seconds:.0f} s.",
        reason="deployment_timeout",
        advice="Run again: it goes on where this ended.",
    )


def with_progress(
    error: BuilderError, done: Sequence[str], left: Sequence[str], note: str = ""
) -> BuilderError:
    """The same error, saying what was done before it and what was not, and what that means."""
    before = f"Done before: {', '.join(done) or 'nothing'}."
    after = f" Not done: {', '.join(left)}." if left else ""
    return type(error)(
        " ".join(filter(None, (_sentence(error.message), before + after, note))),
        reason=error.reason,
        advice=error.advice,
    )


def _sentence(text: str) -> str:
    return f"{text.rstrip().removesuffix('.')}."
