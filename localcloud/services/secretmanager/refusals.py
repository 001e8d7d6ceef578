"""Secret Manager's refusals. None of them shows a payload."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import (
    ApiError,
    already_exists,
    failed_precondition,
    forbidden,
    invalid,
    not_found,
    unimplemented,
)


def denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks, or a project that does not exist."""
    return forbidden(f"Permission '{permission}' denied for resource '{resource}' (or it may not exist).")


def no_such_secret(name: str) -> ApiError:
    """404: no secret of this name."""
    return not_found(f"Secret [{name}] not found.")


def nothing_latest(name: str) -> ApiError:
    """404: a version of a missing secret, or the latest of a secret without versions."""
    return not_found(f"Secret [{name}] not found or has no versions.")


def no_such_version(name: str) -> ApiError:
    """404: no version of this number."""
    return not_found(f"Secret Version [{name}] not found.")


def secret_exists(name: str) -> ApiError:
    """409: the id is taken."""
    return already_exists(f"Secret [{name}] already exists.")


def bad_secret_id(secret: str) -> ApiError:
    """400: Google's pattern in this message leaves out the hyphen, which it accepts."""
    return invalid(f"The provided Secret ID [{secret}] does not match the expected format [[a-zA-Z_0-9]+]")


def bad_resource_id(name: str) -> ApiError:
    """400: a name of the wrong kind for this method."""
    return invalid(f"Resource ID [{name}] is not in a valid format.")


def in_state(name: str, state: str) -> ApiError:
    """400: a version that is disabled or destroyed."""
    return failed_precondition(f"Secret Version [{name}] is in {state} state.")


def destroyed_already() -> ApiError:
    """400: destroyed before."""
    return failed_precondition("SecretVersion.state is already DESTROYED.")


def empty_payload() -> ApiError:
    """400: no bytes."""
    return invalid("Secret Payload cannot be empty.")


def large_payload(size: int, limit: int) -> ApiError:
    """400: too many bytes."""
    return invalid(f"The payload has {size} bytes; it must be no larger than 64KiB ({limit} bytes).")


def other_checksum() -> ApiError:
    """400: the checksum does not match the bytes."""
    return invalid("The payload's data does not match the checksum in payload.dataCrc32c.")


def not_covered(field: str) -> ApiError:
    """501: a field of a secret that Google has and localcloud does not."""
    return unimplemented(f"localcloud does not implement the field '{field}' of a secret.")


def parameter_not_covered(parameter: str, method: str) -> ApiError:
    """501: a parameter of a call."""
    return unimplemented(f"localcloud does not implement the parameter '{parameter}' of {method}.")
