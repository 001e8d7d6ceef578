"""Pub/Sub's refusals. Where the words are Google's, they are those that its users quote."""

from __future__ import annotations

from localcloud.errors import ApiError, already_exists, failed_precondition, forbidden, invalid, not_found


def denied() -> ApiError:
    """403: Pub/Sub names neither the permission nor the resource."""
    return forbidden("User not authorized to perform this action.")


def missing(name: str) -> ApiError:
    """404: no topic or subscription of this name."""
    return not_found(f"Resource not found (resource={name.rpartition('/')[2]}).")


def taken(name: str) -> ApiError:
    """409: the name is taken."""
    return already_exists(f"Resource already exists in the project (resource={name.rpartition('/')[2]}).")


def bad_name(name: str) -> ApiError:
    """400: not a name that a topic or subscription may have."""
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
    """400: a message of nothing."""
    return invalid(
        "One or more messages in the publish request is empty. Each message must contain either non-empty data, or "
        "at least one attribute."
    )


def bad_endpoint(endpoint: str) -> ApiError:
    """400: no URL that a message can be pushed to."""
    return invalid(
        f"Invalid push endpoint given (endpoint={endpoint}). Refer to "
        "https://cloud.google.com/pubsub/subscriber#create for more information."
    )


def bad_ack_id(ack_id: str) -> ApiError:
    """400: not one of ours, current or old."""
    return invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id}).")


def no_pull() -> ApiError:
    """400: messages of a push subscription are not to be pulled."""
    return failed_precondition("This method is not supported for this subscription type.")


def no_mask(kind: str) -> ApiError:
    """400: an update that names no field; `kind` is "Topic" or "Subscription"."""
    return invalid(
        f"The update_mask in the Update{kind}Request must be set, and must contain a non-empty paths list."
    )


def unknown_in_mask(kind: str, path: str) -> ApiError:
    """400: an update of a field that there is not."""
    return invalid(
        f"Invalid update_mask provided in the Update{kind}Request: '{path}' is not a known {kind} field. Note that "
        "field paths must be of the form 'push_config' rather than 'pushConfig'."
    )


def immutable_in_mask(kind: str, path: str) -> ApiError:
    """400: an update of a field that never changes."""
    return invalid(
        f"Invalid update_mask provided in the Update{kind}Request: the '{path}' field in the {kind} is not mutable."
    )
