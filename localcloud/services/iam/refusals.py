"""The refusals of IAM, in Google's words: one function per case."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import (
    ApiError,
    aborted,
    already_exists,
    failed_precondition,
    forbidden,
    invalid,
    not_found,
)
from localcloud.core.iam import PROJECT


def denied(caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks on an account, a role or the project."""
    if permission == "iam.serviceAccounts.actAs":
        account = resource.rpartition("/")[2]
        return forbidden(
            f"The user does not have access to service account '{account}'.  User: '{caller.email}'.  "
            "Ask a project owner to grant you the iam.serviceAccountUser role on the service account"
        )
    return forbidden(f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).")


def no_such_account(name: str) -> ApiError:
    """404: the account does not exist."""
    return not_found(f"Unknown service account: {name.rpartition('/')[2]}.")


def account_exists(account_id: str) -> ApiError:
    """409: the id is taken."""
    return already_exists(f"Service account {account_id} already exists within project projects/{PROJECT}.")


def no_such_role(name: str) -> ApiError:
    """404: the role does not exist."""
    return not_found(f"The role named {name} was not found.")


def role_exists(role_id: str, *, deleted: bool) -> ApiError:
    """409: the id is taken; 400: by a role that is deleted."""
    if deleted:
        return failed_precondition(
            f"You can't create a role with role_id ({role_id}) where there is an existing role with that role_id "
            "in a deleted state."
        )
    return already_exists(f"A role named {role_id} in projects/{PROJECT} already exists.")


def bad_role_mask(path: str) -> ApiError:
    """400: an unknown field of a role, or one that an update cannot change."""
    return invalid(f"Invalid update mask: '{path}' is no field of a role that can be updated.")


def not_deleted(name: str) -> ApiError:
    """400: only a deleted role can be restored."""
    return failed_precondition(f"The role named {name} is not deleted.")


def role_changed(name: str) -> ApiError:
    """409: the etag is that of an older state."""
    return aborted(f"There were concurrent changes of {name}. Please retry the whole read-modify-write.")
