"""Explains a call that Google refused: the error with its exit code, and what the user can do. Pure.

Every part of the builder explains refusals here. `act/refusals.py` adds what only Compute Engine's answers to a request
for a VM mean, `deploy/refusals.py` what only Eventarc's and the deployer's permissions mean.
"""

from __future__ import annotations

from http import HTTPStatus

from builder import gcloud
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup
from builder.ports import CallFailed

_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
# Every repetition gets the same answer, such as that about a disabled key, or about a bucket whose requester pays.
_LASTING = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED})


BUCKET_MISSING, API_DISABLED, DENIED = "bucket_missing", "api_disabled", "permission_denied"
# The errors of a project that is not set up: more can be missing than the first call found.
NOT_SET_UP = frozenset({BUCKET_MISSING, API_DISABLED, DENIED})


def is_api_disabled(failure: CallFailed) -> bool:
    """True if the API is not enabled in the project."""
    return failure.code in _DISABLED


def is_denied(failure: CallFailed) -> bool:
    """True if the caller lacks a permission, or has no valid credentials.

    A rate limit and an API that is not enabled, which are a 403 too, are neither.
    """
    denied = failure.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return denied and not failure.transient and not is_api_disabled(failure)


def is_missing_bucket(failure: CallFailed) -> bool:
    """True if the bucket does not exist."""
    return failure.http_status == HTTPStatus.NOT_FOUND and "bucket does not exist" in failure.message


def service_of(failure: CallFailed) -> str:
    """The API that was called, such as `compute`."""
    return failure.call.partition(".")[0]


def unavailable(message: str) -> EnvironmentFailed:
    """The error of an API that cannot be reached, or fails, after all retries."""
    return EnvironmentFailed(
        message,
        reason="api_unavailable",
        advice="Run again; if it persists, look at Google Cloud's status page.",
    )


def api_disabled(failure: CallFailed) -> ProjectSetup:
    """The error of an API that is not enabled."""
    service = service_of(failure)
    return ProjectSetup(
        f"{failure.call} on {failure.resource} was refused: the API {service}.googleapis.com is not enabled.",
        reason=API_DISABLED,
        advice=gcloud.enable(service),
    )


def call_error(failure: CallFailed) -> BuilderError:
    """The error that a failed call ends a run with: the project's set-up (4) or the environment (6)."""
    if is_api_disabled(failure):
        return api_disabled(failure)
    if is_denied(failure):
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: {failure.message}",
            reason=DENIED,
            advice="Grant the build's service account the permission that the message names; `check` can print the command.",
        )
    if failure.http_status in _LASTING and not (failure.transient or failure.repeated):
        return ProjectSetup(
            f"{failure.call} on {failure.resource} was refused: {failure.message}",
            reason="refused",
            advice="Correct what the message names, in the project or in the settings of the bucket, and run again.",
        )
    # An object that does not exist (any more) is no mistake in the set-up; a bucket is.
    if failure.http_status == HTTPStatus.NOT_FOUND and "No such object" not in failure.message:
        return _not_found(failure)
    return unavailable(f"{failure.call} on {failure.resource} failed after retries: {failure.message}")


def _not_found(failure: CallFailed) -> ProjectSetup:
    if is_missing_bucket(failure):
        bucket = failure.resource.removeprefix("gs://").partition("/")[0]
        return ProjectSetup(
            f"{failure.call}: there is no bucket {bucket}.",
            reason=BUCKET_MISSING,
            advice=f"Create it, or correct NB_GCS_LOCATION, which names it: {gcloud.create_bucket(bucket)}",
        )
    return ProjectSetup(
        f"{failure.call}: {failure.resource} does not exist: {failure.message}",
        reason="not_found",
        advice="Create it, or correct the option that names it.",
    )
