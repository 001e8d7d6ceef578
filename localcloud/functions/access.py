"""The checks that come first in a call: the permission, the project, the location, the right to act as an account."""

from __future__ import annotations

from localcloud.compute.catalog import REGIONS
from localcloud.errors import forbidden
from localcloud.functions.refusals import bad_location, no_act_as
from localcloud.iam import PROJECT, by_id
from localcloud.service import Call


def authorize(call: Call, permission: str, resource: str) -> str:
    """Return the resource's name with the project's id; raises `ApiError` 403 without the permission or for no region."""
    name = by_id(resource)
    call.require(permission, name)
    parts = name.split("/")
    if parts[1] != PROJECT:
        raise forbidden(
            f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
        )
    if parts[3] not in REGIONS:
        raise bad_location(parts[3])
    return name


def check_act_as(call: Call, account: str) -> None:
    """Raise `ApiError` 403 unless the account is there and the caller may run code as it."""
    name = f"projects/{PROJECT}/serviceAccounts/{account}"
    known = account in call.iam.accounts()
    if not known or not call.iam.allowed(call.caller, "iam.serviceAccounts.actAs", name):
        raise no_act_as(account)
