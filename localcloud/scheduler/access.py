"""The checks that come first in a call: the permission, the project, the location."""

from __future__ import annotations

from localcloud.compute.catalog import REGIONS
from localcloud.errors import forbidden
from localcloud.iam import PROJECT, by_id
from localcloud.scheduler.refusals import bad_location
from localcloud.service import Call


def authorize(call: Call, permission: str, resource: str) -> str:
    """Return the resource's name with the project's id; raises `ApiError` 403 without the permission."""
    name = by_id(resource)
    call.require(permission, name)
    if name.split("/")[1] != PROJECT:
        raise forbidden(
            f'The principal (user or service account) lacks IAM permission "{permission}" for the resource '
            f'"{resource}" (or the resource may not exist).'
        )
    return name


def check_location(parent: str) -> str:
    """Return the region in "projects/P/locations/L"; raises `ApiError` 400 for one that there is not."""
    region = parent.rpartition("/")[2]
    if region not in REGIONS:
        raise bad_location(region)
    return region
