"""Cloud Scheduler's refusals; in Google's words where its users quote them."""

from __future__ import annotations

from localcloud.errors import ApiError, already_exists, failed_precondition, invalid, not_found


def missing() -> ApiError:
    """404: no job of this name."""
    return not_found("Job not found.")


def taken(name: str) -> ApiError:
    """409: the name is taken."""
    return already_exists(f"Job {name} already exists.")


def bad_schedule() -> ApiError:
    """400: Google does not say which of the two is wrong."""
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
    """400: not a field, or not one that an update can change."""
    return invalid(f"Invalid mask for Job: {path}")


def in_state(state: str, needed: str) -> ApiError:
    """400: a job in another state than the call needs."""
    return failed_precondition(f"The job is in state {state}; it must be in state {needed} for this call.")
