"""Judges a secret that cannot be used, with the command that helps. One part of the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder import gcloud
from builder.errors import ExitCode
from builder.judge.cell_checks import environments_fault, notebooks_fault
from builder.model import Verdict
from builder.plain_text import one_line
from builder.vm.protocol import SECRET_REFUSALS, UNUSABLE_VALUES, SecretUse

_PROBLEMS = SECRET_REFUSALS | UNUSABLE_VALUES
_COMMANDS = {
    "denied": gcloud.grant_secret("{secret}", "{project}", "serviceAccount:{account}"),
    "api_disabled": gcloud.enable("secretmanager", "{project}"),
    "missing": "gcloud secrets versions list {secret} --project={project}",
    "disabled": "gcloud secrets versions enable {version} --secret={secret} --project={project}",
    "destroyed": "gcloud secrets versions add {secret} --project={project} --data-file=FILE",
}
_NOT_STAGED = "Remove it from the committed files, and give the secret a new value: this one is known."
_NOT_IN_OUTPUTS = "Write no secret to a binary file. The text files, the log and the notebook are redacted."


def judge_secret_fault(
    reason: str, said: str, wanted: Mapping[str, str], account: str, uses: Sequence[SecretUse]
) -> Verdict | None:
    """Return the verdict on a fault about secrets; None for any other fault. `wanted` has resources by variable."""
    if reason == "secret_refused":
        return _refused(wanted, account, uses)
    if reason == "secret_unfit":
        return _unfit(wanted, uses)
    if reason == "secret_in_source":
        message = said or "a staged file contains the value of a secret"
        return notebooks_fault(reason, message, _NOT_STAGED)
    if reason == "secret_in_output":
        message = said or "an output contains the value of a secret, and was not uploaded"
        return notebooks_fault(reason, message, _NOT_IN_OUTPUTS)
    return None


def check_secrets(wanted: Mapping[str, str], uses: Sequence[SecretUse]) -> Verdict | None:
    """Return the verdict on the first secret that the notebook did not get, according to the evidence."""
    given = {use.name: use for use in uses}
    for name, resource in wanted.items():
        use = given.pop(name, None)
        version = resource.rpartition("/")[2]
        if use is None or use.resource != resource or use.version is None or use.problem:
            return environments_fault("secret_not_given", f"the evidence has no version of secret {name}")
        if version.isdecimal() and use.version != int(version):
            message = f"the VM read version {use.version} of secret {name}, not {version} as asked for"
            return environments_fault("secret_not_given", message)
    if given:
        message = f"the VM read a secret that the job does not name: {one_line(next(iter(given)))}"
        return environments_fault("secret_not_given", message)
    return None


def _refused(wanted: Mapping[str, str], account: str, uses: Sequence[SecretUse]) -> Verdict:
    """Return a verdict with a sentence for each secret, and the commands that help."""
    sentences, commands = [], []
    for use in uses:
        resource = wanted.get(use.name)
        if resource is None or not use.problem:
            continue
        what = _PROBLEMS.get(use.problem, SECRET_REFUSALS["refused"])
        sentences.append(f"secret {use.name} ({resource}): {what}")
        _, project, _, secret, _, version = resource.split("/")
        if command := _COMMANDS.get(use.problem):
            commands.append(command.format(secret=secret, project=project, version=version, account=account))
    message = "; ".join(sentences) or "Secret Manager refused a secret"
    advice = " && ".join(dict.fromkeys(commands)) or "The log has Secret Manager's answer."
    return Verdict(ExitCode.PROJECT_SETUP, "secret_refused", message, advice)


def _unfit(wanted: Mapping[str, str], uses: Sequence[SecretUse]) -> Verdict:
    sentences = [
        f"secret {use.name} ({wanted[use.name]}): {UNUSABLE_VALUES.get(use.problem, 'its value cannot be used')}"
        for use in uses
        if use.problem and use.name in wanted
    ]
    message = "; ".join(sentences) or "the value of a secret cannot be used"
    return notebooks_fault(
        "secret_unfit", message, "Give the secret another value, or leave it out of NB_SECRETS."
    )
