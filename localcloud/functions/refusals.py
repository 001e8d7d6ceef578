"""Cloud Functions' refusals; in Google's words where its users quote them."""

from __future__ import annotations

from localcloud.errors import ApiError, aborted, forbidden, invalid, not_found, unimplemented


def missing(name: str) -> ApiError:
    """404: no function or operation of this name."""
    return not_found(f"Resource '{name}' was not found")


def in_progress() -> ApiError:
    """409: another operation on the same function is under way."""
    return aborted("unable to queue the operation")


def bad_location(location: str) -> ApiError:
    """403: no region, which Google does not tell from one that is closed to you."""
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
    """400: not a field of a function, or not one that an update can change."""
    return invalid(f"Invalid update mask: '{path}' is no field of a function that can be updated.")


def not_covered(field: str) -> ApiError:
    """501: a field that Google has and localcloud does not."""
    return unimplemented(f"localcloud does not implement the field '{field}' of a function.")


def no_act_as(account: str) -> ApiError:
    """403: the caller may not run code as the account."""
    return forbidden(
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    )
