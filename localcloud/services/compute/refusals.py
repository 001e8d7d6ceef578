"""Compute Engine's refusals: one function per case, in Google's words. And the form that all names have."""

from __future__ import annotations

import re

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError, forbidden, invalid, not_found, unimplemented

_NAME = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"


def denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks."""
    return forbidden(f"Required '{permission}' permission for '{resource}'")


def bad_field(field: str, value: object, text: str) -> ApiError:
    """400: the value of one field is invalid, in Google's words."""
    return invalid(f"Invalid value for field '{field}': '{value}'. {text}")


def malformed(field: str, url: str) -> ApiError:
    """400: no URL where one is needed, such as a machine type's bare name."""
    return bad_field(field, url, "The URL is malformed.")


def incompatible(*features: str) -> ApiError:
    """400: features that exclude each other."""
    return invalid(
        f"[{', '.join(features)}] features are not compatible for creating instance.", "badRequest"
    )


def missing(path: str) -> ApiError:
    """404: the path names no resource."""
    return not_found(f"The resource '{path}' was not found")


def bad_filter(expression: str, reason: str) -> ApiError:
    """400: not a filter expression of list calls."""
    return bad_field("filter", expression, f"Invalid list filter expression: {reason}.")


def unordered(order: str) -> ApiError:
    """501: an order of list calls that is not covered."""
    return unimplemented(f"localcloud lists by name only: orderBy={order} is not covered.")


def check_name(field: str, name: str) -> None:
    """Raise ApiError 400 unless a resource's name is valid (RFC 1035)."""
    if re.fullmatch(_NAME, name) is None:
        raise bad_field(field, name, f"Must be a match of regex '{_NAME}'")
