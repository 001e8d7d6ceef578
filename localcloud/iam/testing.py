"""The answer to every `testIamPermissions` of the newer APIs."""

from __future__ import annotations

from typing import Any

from localcloud.errors import invalid, unimplemented
from localcloud.iam.roles import ROLES
from localcloud.service import Call

Json = dict[str, Any]

_KNOWN = frozenset(permission for role in ROLES.values() for permission in role)
_MOST = 100


def tested(call: Call, resource: str) -> Json:
    """Return which permissions of the call's body its caller has on a resource.

    Raises `ApiError`: 400 for what no permission is, or too many; 501 for one that none of localcloud's roles has.
    """
    asked = call.body.get("permissions") or []
    if len(asked) > _MOST:
        raise invalid("Request contains an invalid argument.")
    for permission in asked:
        if "*" in permission or permission.count(".") < 2:  # noqa: PLR2004  service.resources.verb
            raise invalid(f"Permission {permission} is not valid for this resource.")
        if permission not in _KNOWN:
            raise unimplemented(f"localcloud does not know the permission {permission}.")
    held = [permission for permission in asked if call.iam.allowed(call.caller, permission, resource)]
    return {"permissions": held} if held else {}
