"""The errors of Cloud Storage, one function per case, in Google's words and shape."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import (
    ApiError,
    forbidden,
    invalid,
    not_found,
    precondition_failed,
    unimplemented,
)


class NotModified(Exception):
    """304, without a body: the caller already has this version."""


def no_such_object(bucket: str, name: str) -> ApiError:
    """404: the object does not exist, or not in the requested generation."""
    return not_found(f"No such object: {bucket}/{name}")


def denied(caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks on a bucket or an object; 401 without a token."""
    kind = "object" if "/objects/" in resource else "bucket"
    words = (
        f"{caller.email or 'Anonymous caller'} does not have {permission} access to the Google Cloud Storage {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    return forbidden(words) if caller.email else ApiError(401, "required", words)


def no_such_bucket() -> ApiError:
    """404: the bucket does not exist."""
    return not_found("The specified bucket does not exist.")


def bucket_exists() -> ApiError:
    """409: the project already has a bucket of this name."""
    return ApiError(
        409,
        "conflict",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )


def bucket_not_empty() -> ApiError:
    """409: only an empty bucket can be deleted."""
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


def range_not_satisfiable() -> ApiError:
    """416: the requested range begins after the object's last byte."""
    return ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")


def rate_limited(bucket: str, name: str) -> ApiError:
    """429: too many changes of one object."""
    message = (
        f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, and "
        "delete). Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429."
    )
    error = {"message": message, "domain": "usageLimits", "reason": "rateLimitExceeded"}
    return ApiError(429, "rateLimitExceeded", message, {"errors": [error]})


def wrong_checksum(kind: str, provided: str, calculated: str) -> ApiError:
    """400: the received bytes have another checksum than the request says. `kind` is "CRC32C" or "MD5 hash"."""
    return invalid(f'Provided {kind} "{provided}" doesn\'t match calculated {kind} "{calculated}".')


def no_acl() -> ApiError:
    """400: the request sets an ACL; localcloud has none, with or without uniform access."""
    return invalid(
        "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. Read more at "
        "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
    )


def conditions_need_uniform_access() -> ApiError:
    """412: a conditional binding needs uniform bucket-level access."""
    return precondition_failed("Conditional role bindings require uniform bucket-level access on the bucket.")


def not_covered(what: str) -> ApiError:
    """501: localcloud's Cloud Storage does not have this method, field or parameter."""
    return unimplemented(f"localcloud's storage has no {what}; see localcloud/services/storage/README.md")


def cut_off() -> ApiError:
    """400: the connection ended before the whole body arrived. A VM that dies during an upload causes this."""
    return invalid("The connection ended before the whole body had come.", "badContent")
