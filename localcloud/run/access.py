"""The checks that come first in a call of Cloud Run, and its words for a service that is not there."""

from __future__ import annotations

from localcloud.errors import ApiError, forbidden, not_found
from localcloud.iam import PROJECT, by_id
from localcloud.service import Call


def authorize(call: Call, permission: str, resource: str) -> str:
    """Return the resource's name with the project's id; raises `ApiError` 403 without the permission."""
    name = by_id(resource)
    call.require(permission, name)
    if name.split("/")[1] != PROJECT:
        raise forbidden(
            f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
        )
    return name


def missing(name: str) -> ApiError:
    """404: no service of this name."""
    _, project, _, location, _, service = name.split("/")
    return not_found(
        f"Resource '{service}' of kind 'SERVICE' in region '{location}' in project '{project}' does not exist."
    )
