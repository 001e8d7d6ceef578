"""Cloud Functions' refusals, in Google's words if its users quote them."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError, aborted, forbidden, invalid, not_found, unimplemented


def denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks."""
    return forbidden(
        f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
    )


def missing(name: str) -> ApiError:
    """404: no function or operation of this name."""
    return not_found(f"Resource '{name}' was not found")


def no_eventarc(function: str) -> ApiError:
    """400: Eventarc's own account lacks its role, as in a project that has never used Eventarc."""
    parent, _, short = function.partition("/functions/")
    return invalid(
        f'Validation failed for trigger {parent}/triggers/{short}-000000: Invalid resource state for "": Permission denied '
        "while using the Eventarc Service Agent. If you recently started to use Eventarc, it may take a few minutes before "
        "all necessary permissions are propagated to the Service Agent. Otherwise, verify that it has Eventarc Service "
        "Agent role."
    )


def no_agent(location: str) -> ApiError:
    """403: Cloud Functions' own account lacks its role, as in a project that has never used Cloud Functions."""
    return forbidden(
        f"Unable to retrieve the repository metadata for {location}/repositories/gcf-artifacts. Ensure that the Cloud "
        "Functions service account has 'artifactregistry.repositories.list' and 'artifactregistry.repositories.get' "
        "permissions. You can add the permissions by granting the role 'roles/artifactregistry.reader'."
    )


def in_progress() -> ApiError:
    """409: another operation on the same function is under way."""
    return aborted("unable to queue the operation")


def bad_location(location: str) -> ApiError:
    """403: an unknown region, which Google treats like a closed one."""
    return forbidden(f"Permission denied on 'locations/{location}' (or it may not exist).")


def bad_id(given: str) -> ApiError:
    """400: not a function's id."""
    return invalid(
        f"Invalid function id '{given}': it must have 4 to 63 characters, lower-case letters, digits and dashes, begin "
        "with a letter and end with a letter or a digit."
    )


def bad_field(field: str, problem: str) -> ApiError:
    """400: a field's value."""
    return invalid(f"Invalid value for '{field}': {problem}")


def bad_mask(path: str) -> ApiError:
    """400: an unknown field of a function, or one that an update cannot change."""
    return invalid(f"Invalid update mask: '{path}' is no field of a function that can be updated.")


def not_covered(field: str) -> ApiError:
    """501: a field that is not covered."""
    return unimplemented(f"localcloud does not implement the field '{field}' of a function.")


def no_act_as(account: str) -> ApiError:
    """403: the caller may not run code as the account."""
    return forbidden(
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    )
