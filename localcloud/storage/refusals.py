"""What Cloud Storage says when it refuses: one function per case, in Google's words and shape."""

from __future__ import annotations

from localcloud.errors import ApiError, forbidden, not_found
from localcloud.service import Caller


class NotModified(Exception):
    """The caller has this version already: 304, without a body."""


def no_such_object(bucket: str, name: str) -> ApiError:
    """404: no live object of this name, or not in the generation asked for."""
    return not_found(f"No such object: {bucket}/{name}")


def perhaps_not_there(caller: Caller, permission: str) -> ApiError:
    """403: the object does not exist, which this caller, who may not list objects, is not told."""
    return forbidden(
        f"{caller.email} does not have {permission} access to the Google Cloud Storage object. Permission "
        f"'{permission}' denied on resource (or it may not exist)."
    )


def no_such_bucket() -> ApiError:
    """404: the bucket does not exist."""
    return not_found("The specified bucket does not exist.")


def bucket_exists() -> ApiError:
    """409: the name is taken, by the caller's own project (there is no other here)."""
    return ApiError(
        409,
        "conflict",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )


def bucket_not_empty() -> ApiError:
    """409: only empty buckets can be deleted."""
    return ApiError(409, "conflict", "The bucket you tried to delete is not empty.")


def condition_not_met() -> ApiError:
    """412: a precondition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    error = {
        "message": message,
        "domain": "global",
        "reason": "conditionNotMet",
        "locationType": "header",
        "location": "If-Match",
    }
    return ApiError(412, "conditionNotMet", message, {"errors": [error]})


def rate_limited(bucket: str, name: str) -> ApiError:
    """429: too many changes of one object."""
    message = (
        f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, and "
        "delete). Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429."
    )
    error = {"message": message, "domain": "usageLimits", "reason": "rateLimitExceeded"}
    return ApiError(429, "rateLimitExceeded", message, {"errors": [error]})


def wrong_checksum(kind: str, provided: str, calculated: str) -> ApiError:
    """400: the bytes that arrived are not those that were announced. `kind` is "CRC32C" or "MD5 hash"."""
    return ApiError(
        400, "invalid", f'Provided {kind} "{provided}" doesn\'t match calculated {kind} "{calculated}".'
    )
