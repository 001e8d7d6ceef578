"""Turns Compute Engine's refusals of a VM into the errors that end a job. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from builder import gcloud
from builder.act.failover import Scope, is_address_space, is_capacity, is_configuration
from builder.errors import (
    BuilderError,
    EnvironmentFailed,
    InputRefused,
    NoCapacity,
    NotStarted,
    ProjectSetup,
)
from builder.plan.build_plan import PLACING_BUDGET, ImageChoice, JobPlan
from builder.plan.vm_spec import SPOT, STANDARD
from builder.ports import CallFailed, Image, TypeKind
from builder.refusals import unavailable

_GRANT = "Give the build's service account its roles, with the commands in docs/accounts.md, then run again."
_ENABLE = f"Enable the API: {gcloud.enable('compute')}."
_CORRECT = "Correct the option that names it, or create it."
_BY_CODE = {
    "accessNotConfigured": _ENABLE,
    "SERVICE_DISABLED": _ENABLE,
    "notFound": _CORRECT,
    "RESOURCE_NOT_FOUND": _CORRECT,
    "EXTERNAL_RESOURCE_NOT_FOUND": "Correct NB_VM_SERVICE_ACCOUNT, or create the account and grant its roles (docs/accounts.md).",
    "SERVICE_ACCOUNT_ACCESS_DENIED": "Grant the build's service account roles/iam.serviceAccountUser on the VM's account: "
    f"{gcloud.grant_act_as('VM_ACCOUNT', gcloud.member(''))}",
}
_BY_WORDS = {
    "custom subnetmode network": "Set NB_SUBNETWORK to a subnetwork of this network, and NB_ZONES to zones of its region.",
    "/networks/": "Create the network, or set NB_NETWORK or NB_SUBNETWORK to one that exists.",
}
_DENIED = frozenset(
    {"forbidden", "IAM_PERMISSION_DENIED", "PERMISSIONS_ERROR"}
)  # the message names a resource that exists
_ACCOUNT = re.compile(r"([a-z0-9-]+)@([a-z0-9-]+)\.iam\.gserviceaccount\.com")
_CONSTRAINT = re.compile(r"\b(?:customConstraints|constraints)/([A-Za-z0-9_.]+[A-Za-z0-9_])")
# By the last part of a constraint's name: compute.vmExternalIpAccess has a successor,
# compute.managed.vmExternalIpAccess.
_BY_CONSTRAINT = {
    "requireShieldedVm": "Set NB_SECURE_BOOT=true, with an image that supports UEFI.",
    "trustedImageProjects": "Set NB_IMAGE_PROJECT and NB_IMAGE_FAMILY to an image of a project that the policy allows, such as "
    "a copy of this one, or ask your organization's policy administrator to allow the image's project.",
    "vmExternalIpAccess": "Unset NB_EXTERNAL_IP, and turn on Private Google Access for the subnetwork.",
    "resourceLocations": "Set NB_ZONES to zones in a location that the policy allows.",
    "restrictSharedVpcSubnetworks": "Set NB_SUBNETWORK to a subnetwork that the policy allows.",
}
_MORE_CAPACITY = (
    "Allow more zones or regions with NB_ZONES, take another machine type, or raise the quota named above."
)
_MORE_ADDRESSES = (
    "Expand the IP range of the subnetwork, set NB_SUBNETWORK to another one, or lower NB_CONCURRENCY."
)
_EXCEPTION = "Ask your organization's policy administrator for an exception from this constraint."


@dataclass(frozen=True)
class Refusal:
    """The reason why a zone did not give a VM."""

    zone: str
    code: str
    message: str
    scope: Scope
    transient: bool = False  # the same zone can accept soon
    model: str = STANDARD  # the requested provisioning model

    def __str__(self) -> str:
        where = f"{self.zone} (Spot)" if self.model == SPOT else self.zone
        return f"{where}: {self.code}: {self.message}"


def used_up(
    job: JobPlan, refusals: Sequence[Refusal], quotas: Sequence[Refusal], *, held: int
) -> BuilderError:
    """Return the error of a job without a VM.

    `quotas`: its refusals about quota. `held`: the number of the run's VMs that hold some.
    """
    stopping = next((refusal for refusal in quotas if refusal.scope.stops), None)
    error = no_vm(job, refusals) if stopping is None else stopped(stopping)
    if not held:
        return error
    return NoCapacity(
        f"{error.message}\nAfter a wait of {PLACING_BUDGET} s, {vms_of_run(held)} of the quota.",
        reason=error.reason,
        advice=f"Lower NB_CONCURRENCY, or ask for more quota. {error.advice}",
    )


def vms_of_run(count: int) -> str:
    """Return the beginning of a sentence about VMs of the run that use a quota."""
    return f"{count} other VM{'s' if count != 1 else ''} of this run use{'s' if count == 1 else ''} a part"


def no_turn(job: JobPlan, limits: Collection[object]) -> NoCapacity:
    """Return the error of a job that waited too long behind others for the same quotas."""
    return NoCapacity(
        f"No VM was requested for {job.job}: other jobs of this run waited for the same quota before it, for {PLACING_BUDGET} s "
        f"({', '.join(sorted(map(str, limits)))}).",
        reason="no_capacity",
        advice="Lower NB_CONCURRENCY, or ask for more quota.",
    )


def not_started(job: str) -> NotStarted:
    """Return the error of a job that waited for quota when another one ended red, under NB_FAIL_FAST."""
    return NotStarted(
        f"{job} was not started: NB_FAIL_FAST is set, and another notebook failed while this one waited for quota.",
        reason="not_started",
    )


def no_vm(job: JobPlan, refusals: Sequence[Refusal]) -> BuilderError:
    """Return the error of a job for which no allowed zone has a VM."""
    table = "\n".join(f"  {refusal}" for refusal in refusals)
    message = f"No allowed zone had a VM for {job.job} ({job.options.machine_type}):\n{table}"
    if any(is_capacity(refusal.code, refusal.message) for refusal in refusals):
        return NoCapacity(
            message,
            reason="no_capacity",
            advice=_MORE_ADDRESSES
            if all(is_address_space(refusal.code) for refusal in refusals)
            else _MORE_CAPACITY,
        )
    set_up = [refusal for refusal in refusals if is_configuration(refusal.code, refusal.message)]
    if set_up:
        return _no_region(message, set_up)
    return EnvironmentFailed(
        message,
        reason="no_vm",
        advice="Run again; if it persists, look at Google Cloud's status page, or allow other zones.",
    )


def _no_region(message: str, refusals: Sequence[Refusal]) -> ProjectSetup:
    if any(_CONSTRAINT.search(refusal.message) for refusal in refusals):
        return ProjectSetup(message, reason="organization_policy", advice=_BY_CONSTRAINT["resourceLocations"])
    return ProjectSetup(
        message,
        reason="no_subnetwork",
        advice="Set NB_SUBNETWORK to a subnetwork of that region, or NB_ZONES to a region that has one.",
    )


def stopped(refusal: Refusal) -> BuilderError:
    """Return the error of a job after a refusal that no other zone can change."""
    message = f"Compute Engine refused the VM in {refusal}"
    if refusal.scope is Scope.QUOTA:
        return NoCapacity(
            message,
            reason="global_quota",
            advice="Ask for more of this quota (IAM & Admin > Quotas); no zone can help.",
        )
    if refusal.scope is Scope.INPUT:
        return InputRefused(
            message, reason="request_refused", advice="Correct the option that the message names."
        )
    return _setup_error(message, refusal.code)


def image_refused(failure: CallFailed, choice: ImageChoice) -> BuilderError:
    """Return the error of an image that cannot be read."""
    if failure.http_status != HTTPStatus.NOT_FOUND:
        return _refused_call(failure, f"The image {choice} cannot be read")
    return InputRefused(
        f"There is no such image: {choice} ({failure.message})",
        reason="image_not_found",
        advice="Google retires image families. Set NB_IMAGE_FAMILY or NB_IMAGE to a current image. To list them: "
        f"gcloud compute images list --project={choice.project} --no-standard-images",
    )


def no_secure_boot(image: Image) -> InputRefused:
    """Return the error of NB_SECURE_BOOT with an image that does not support it."""
    return InputRefused(
        f"NB_SECURE_BOOT is true, and the image {image.path} does not support UEFI, which Secure Boot needs.",
        reason="image_without_uefi",
        advice="Set NB_IMAGE_FAMILY or NB_IMAGE to another image, or unset NB_SECURE_BOOT.",
    )


_MAX_ZONES = 12  # zones in a message
_OPTION: dict[TypeKind, str] = {"machineTypes": "NB_MACHINE_TYPE", "acceleratorTypes": "NB_ACCELERATOR"}


def no_such_type(kind: TypeKind, name: str, meant: Sequence[str]) -> InputRefused:
    """Return the error of a machine type or accelerator type that no zone offers; `meant` has similar names."""
    question = f"; did you mean {' or '.join(meant)}?" if meant else ""
    listing = "machine-types" if kind == "machineTypes" else "accelerator-types"
    return InputRefused(
        f"{_OPTION[kind]} is {name}, which no zone of Compute Engine offers{question}",
        reason="no_such_type",
        advice=f"Correct {_OPTION[kind]}. List what there is: gcloud compute {listing} list.",
    )


def not_in_zones(kind: TypeKind, name: str, *, offered: Sequence[str], allowed: Sequence[str]) -> NoCapacity:
    """Return the error of a machine type or accelerator type that no allowed zone offers."""
    return NoCapacity(
        f"{_OPTION[kind]} is {name}, which none of the allowed zones offers ({', '.join(allowed)}). "
        f"It is in {', '.join(offered[:_MAX_ZONES])}{' and others' if len(offered) > _MAX_ZONES else ''}.",
        reason="not_in_zones",
        advice="Set NB_ZONES to one of these zones, or choose another type.",
    )


def zones_refused(failure: CallFailed, region: str) -> BuilderError:
    """Return the error of a region whose zones cannot be listed."""
    return _refused_call(failure, f"The zones of region {region} cannot be listed")


def _refused_call(failure: CallFailed, what: str) -> BuilderError:
    message = f"{what}: {failure.message}"
    if failure.transient:
        return unavailable(message)
    return _setup_error(message, failure.code)


def _setup_error(message: str, code: str) -> ProjectSetup:
    constraints = _CONSTRAINT.findall(message)
    if constraints:
        advice = " ".join(dict.fromkeys(_policy_advice(name) for name in constraints))
        return ProjectSetup(message, reason="organization_policy", advice=advice)
    account = _ACCOUNT.search(message) if code == "EXTERNAL_RESOURCE_NOT_FOUND" else None
    if account is not None:
        advice = f"{_BY_CODE[code]} To create it: {gcloud.create_account(*account.groups())}"
        return ProjectSetup(message, reason="refused", advice=advice)
    said = "" if code in _DENIED else message
    by_words = next((advice for words, advice in _BY_WORDS.items() if words in said), None)
    return ProjectSetup(message, reason="refused", advice=by_words or _BY_CODE.get(code, _GRANT))


def _policy_advice(constraint: str) -> str:
    return _BY_CONSTRAINT.get(constraint.rpartition(".")[2], _EXCEPTION)
