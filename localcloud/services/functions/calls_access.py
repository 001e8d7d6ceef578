"""The first checks of a call: permission, project, location, and the right to act as an account."""

from __future__ import annotations

from localcloud.core.iam import PROJECT
from localcloud.core.service import Call
from localcloud.services.compute.catalog import REGIONS
from localcloud.services.functions.refusals import bad_location, no_act_as


def in_region(call: Call, permission: str, resource: str) -> str:
    """Return the resource's name with the project's id; raises `ApiError` 403, also for an unknown region."""
    name = call.authorize(permission, resource)
    region = name.split("/")[3]
    if region not in REGIONS:
        raise bad_location(region)
    return name


def check_act_as(call: Call, account: str) -> None:
    """Raise `ApiError` 403 unless the account exists and the caller may run code as it."""
    name = f"projects/{PROJECT}/serviceAccounts/{account}"
    known = call.iam.accounts.find(account)
    if not known or not call.iam.allowed(call.caller, "iam.serviceAccounts.actAs", name):
        raise no_act_as(account)
