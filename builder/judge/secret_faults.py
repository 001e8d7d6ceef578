"""Whose fault it is when a secret cannot be used, and the command that helps. One part of the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.errors import ExitCode
from builder.judge.evidence import SecretUse
from builder.judge.execution import environments_fault, notebooks_fault
from builder.judge.plain_text import one_line
from builder.model import Verdict

_ROLE = "roles/secretmanager.secretAccessor"
_REFUSALS = {
    "denied": f"the VM's account lacks {_ROLE} on it, or it does not exist",
    "api_disabled": "the Secret Manager API is not enabled in its project",
    "missing": "it does not exist",
    "disabled": "this version is disabled",
    "destroyed": "this version is destroyed",
}
_COMMANDS = {
    "denied": "gcloud secrets add-iam-policy-binding {secret} --project={project} --member=serviceAccount:{account} "
    f"--role={_ROLE}",
    "api_disabled": "gcloud services enable secretmanager.googleapis.com --project={project}",
    "missing": "gcloud secrets versions list {secret} --project={project}",
    "disabled": "gcloud secrets versions enable {version} --secret={secret} --project={project}",
    "destroyed": "gcloud secrets versions add {secret} --project={project} --data-file=FILE",
}
_UNFIT = {
    "short": "its value has fewer than 8 bytes; one so short could not be kept out of the results",
    "not_text": "its value is not UTF-8 text",
    "nul": "its value holds a NUL byte, which no environment variable can",
    "word": "its value is a common word that every result holds",
}
_NOT_STAGED = "Take it out of what is committed, and give the secret a new value: this one is known."
_NOT_IN_OUTPUTS = (
    "Write no secret to a file that is not text; the text files, the log and the notebook were redacted."
)


def judge_secret_fault(
    reason: str, said: str, wanted: Mapping[str, str], account: str, uses: Sequence[SecretUse]
) -> Verdict | None:
    """The verdict on a fault that has to do with secrets; None for any other. `wanted` holds resources by variable."""
    if reason == "secret_refused":
        return _refused(wanted, account, uses)
    if reason == "secret_unfit":
        return _unfit(wanted, uses)
    if reason == "secret_in_source":
        message = said or "the value of a secret stands in what was staged"
        return notebooks_fault(reason, message, _NOT_STAGED)
    if reason == "secret_in_output":
        message = said or "an output holds the value of a secret, and was not uploaded"
        return notebooks_fault(reason, message, _NOT_IN_OUTPUTS)
    return None


def check_secrets(wanted: Mapping[str, str], uses: Sequence[SecretUse]) -> Verdict | None:
    """The first secret of which the evidence does not say that the notebook had it."""
    given = {use.name: use for use in uses}
    for name, resource in wanted.items():
        use = given.pop(name, None)
        version = resource.rpartition("/")[2]
        if use is None or use.resource != resource or use.version is None or use.problem:
            return environments_fault("secret_not_given", f"the VM does not say that it read secret {name}")
        if version.isdecimal() and use.version != int(version):
            message = f"the VM read version {use.version} of secret {name}, not {version} as asked for"
            return environments_fault("secret_not_given", message)
    if given:
        message = f"the VM read a secret that nobody asked for: {one_line(next(iter(given)))}"
        return environments_fault("secret_not_given", message)
    return None


def _refused(wanted: Mapping[str, str], account: str, uses: Sequence[SecretUse]) -> Verdict:
    """One sentence for each secret, and one command for each that there is one for."""
    told, commands = [], []
    for use in uses:
        resource = wanted.get(use.name)
        if resource is None or not use.problem:
            continue
        what = _REFUSALS.get(use.problem) or _UNFIT.get(use.problem) or "Secret Manager refuses it"
        told.append(f"secret {use.name} ({resource}): {what}")
        _, project, _, secret, _, version = resource.split("/")
        if command := _COMMANDS.get(use.problem):
            commands.append(command.format(secret=secret, project=project, version=version, account=account))
    message = "; ".join(told) or "Secret Manager refused a secret"
    advice = " && ".join(dict.fromkeys(commands)) or "See the log for Secret Manager's own words."
    return Verdict(ExitCode.PROJECT_SETUP, "secret_refused", message, advice)


def _unfit(wanted: Mapping[str, str], uses: Sequence[SecretUse]) -> Verdict:
    told = [
        f"secret {use.name} ({wanted[use.name]}): {_UNFIT.get(use.problem, 'its value cannot be used')}"
        for use in uses
        if use.problem and use.name in wanted
    ]
    message = "; ".join(told) or "the value of a secret cannot be used"
    return notebooks_fault(
        "secret_unfit", message, "Give the secret another value, or leave it out of NB_SECRETS."
    )
