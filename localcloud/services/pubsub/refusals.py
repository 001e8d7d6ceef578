"""Pub/Sub's refusals, in Google's words if its users quote them."""

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


def denied(_caller: Caller, _permission: str, _resource: str) -> ApiError:
    """403: Pub/Sub names neither the permission nor the resource."""
    return forbidden("User not authorized to perform this action.")


def missing(name: str) -> ApiError:
    """404: no topic or subscription of this name."""
    return not_found(f"Resource not found (resource={name.rpartition('/')[2]}).")


def taken(name: str) -> ApiError:
    """409: the name is taken."""
    return already_exists(f"Resource already exists in the project (resource={name.rpartition('/')[2]}).")


def bad_name(name: str) -> ApiError:
    """400: an invalid name of a topic or subscription."""
    return invalid(
        f"Invalid resource name given (name={name}). Refer to "
        "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
    )


def too_small(field: str, value: int, least: int) -> ApiError:
    """400: a number below its range."""
    return invalid(
        f"The value for {field} is too small. You passed {value} in the request, but the minimum value is {least}."
    )


def too_large(field: str, value: int, most: int) -> ApiError:
    """400: a number, or a size in bytes, above its range."""
    return invalid(
        f"The value for {field} is too large. You passed {value} in the request, but the maximum value is {most}."
    )


def empty_message() -> ApiError:
    """400: an empty message."""
    return invalid(
        "One or more messages in the publish request is empty. Each message must contain either non-empty data, or "
        "at least one attribute."
    )


def bad_ack_id(ack_id: str) -> ApiError:
    """400: an unknown ack id."""
    return invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id}).")


def no_pull() -> ApiError:
    """400: a pull from a push subscription."""
    return failed_precondition("This method is not supported for this subscription type.")
