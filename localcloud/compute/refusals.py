"""What Compute Engine says when it refuses: one function per case, in Google's words. And the form that all names have."""

from __future__ import annotations

import re

from localcloud.errors import ApiError, invalid, not_found

_NAME = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"


def bad_field(field: str, value: object, text: str) -> ApiError:
    """400: the value of one field, in the sentence with which Google begins all of these."""
    return invalid(f"Invalid value for field '{field}': '{value}'. {text}")


def malformed(field: str, url: str) -> ApiError:
    """400: not a URL where one is needed, such as a machine type's bare name."""
    return bad_field(field, url, "The URL is malformed.")


def incompatible(*features: str) -> ApiError:
    """400: features that exist, but not together."""
    return invalid(
        f"[{', '.join(features)}] features are not compatible for creating instance.", "badRequest"
    )


def missing(path: str) -> ApiError:
    """404: there is no resource of this path."""
    return not_found(f"The resource '{path}' was not found")


def in_use(path: str, user: str) -> ApiError:
    """400: the disk is attached to an instance."""
    text = f"The disk resource '{path}' is already being used by '{user}'"
    return invalid(text, reason="resourceInUseByAnotherResource")


def check_name(field: str, name: str) -> None:
    """Raise ApiError 400 unless a resource's name has the form that all have (RFC 1035)."""
    if re.fullmatch(_NAME, name) is None:
        raise bad_field(field, name, f"Must be a match of regex '{_NAME}'")
