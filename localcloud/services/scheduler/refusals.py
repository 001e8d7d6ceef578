"""Cloud Scheduler's refusals, in Google's words if its users quote them."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import (
    ApiError,
    already_exists,
    failed_precondition,
    forbidden,
    invalid,
    not_found,
)


def denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks."""
    return forbidden(
        f'The principal (user or service account) lacks IAM permission "{permission}" for the resource '
        f'"{resource}" (or the resource may not exist).'
    )


def missing() -> ApiError:
    """404: no job of this name."""
    return not_found("Job not found.")


def taken(name: str) -> ApiError:
    """409: the name is taken."""
    return already_exists(f"Job {name} already exists.")


def bad_schedule() -> ApiError:
    """400: the schedule or the time zone is invalid; Google does not say which."""
    return invalid("Schedule or time zone is invalid.")


def bad_name() -> ApiError:
    """400: not a job's name, or not one below the parent named."""
    return invalid(
        'Job name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>".'
    )


def bad_location(location: str) -> ApiError:
    """400: no region of Cloud Scheduler."""
    return invalid(f"Location '{location}' is not a valid location.")


def bad_mask(path: str) -> ApiError:
    """400: an unknown field, or one that an update cannot change."""
    return invalid(f"Invalid mask for Job: {path}")


def in_state(state: str, needed: str) -> ApiError:
    """400: the job's state does not allow the call."""
    return failed_precondition(f"The job is in state {state}; it must be in state {needed} for this call.")
