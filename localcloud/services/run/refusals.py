"""Cloud Run's refusals."""

from __future__ import annotations

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError, forbidden, not_found


def denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks."""
    return forbidden(
        f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
    )


def missing(name: str) -> ApiError:
    """404: no service of this name."""
    _, project, _, location, _, service = name.split("/")
    return not_found(
        f"Resource '{service}' of kind 'SERVICE' in region '{location}' in project '{project}' does not exist."
    )
