"""The check that comes before everything else in a call: the permission, then whether it is our project."""

from __future__ import annotations

from localcloud.iam import Iam
from localcloud.secretmanager.names import is_ours
from localcloud.secretmanager.refusals import denied
from localcloud.service import Caller


def authorize(iam: Iam, caller: Caller, permission: str, resource: str) -> None:
    """Raise Google's 403 unless the caller has the permission on a resource of our project, as the request names it."""
    iam.require(caller, permission, resource)
    if not is_ours(resource.split("/")[1]):
        raise denied(permission, resource)
