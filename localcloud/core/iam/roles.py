"""The roles that a policy can name: Google's, and the project's own, which are kept in a file."""

from __future__ import annotations

from typing import Any

from localcloud.core.errors import ApiError, invalid, unimplemented
from localcloud.core.iam.predefined import OWNER_ROLE, PERMISSIONS, ROLES
from localcloud.core.kept import Kept

Json = dict[str, Any]

_NONE: frozenset[str] = frozenset()


class Roles:
    """Permissions by role. A custom role is stored in Google's form, under its full name."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._permissions: dict[str, frozenset[str]] = {**ROLES, OWNER_ROLE: PERMISSIONS}
        for name, role in kept.items():
            self._permissions[name] = _held(role)

    def includes(self, role: str, permission: str) -> bool:
        """True if a role that exists has a permission. The owner of a project has every permission in it."""
        return role == OWNER_ROLE or permission in self._permissions.get(role, _NONE)

    def permissions(self, role: str) -> frozenset[str]:
        """Return the permissions of a role; none for a role that does not exist."""
        return self._permissions.get(role, _NONE)

    def find(self, name: str) -> Json | None:
        """Return a custom role, or one that is deleted; None if there is none."""
        return self._kept.find(name)

    def put(self, role: Json) -> None:
        """Store a custom role."""
        self._kept.put(role["name"], role)
        self._permissions[role["name"]] = _held(role)

    def check(self, role: str) -> None:
        """Raise `ApiError` unless a policy can name a role: 400 for none, 501 for one that only localcloud lacks."""
        if role in self._permissions:
            return
        if role.startswith("roles/"):
            raise unimplemented(
                f"localcloud does not have the role '{role}'; it has {', '.join(sorted(ROLES))}."
            )
        raise _missing(role)


def check_permission(permission: str) -> None:
    """Raise `ApiError` unless a custom role can have a permission: 400 for a wrong form, 501 for an unknown one."""
    if "*" in permission or permission.count(".") < 2:  # noqa: PLR2004  service.resources.verb
        raise invalid(f"Permission {permission} is not valid.")
    if permission not in PERMISSIONS:
        raise unimplemented(f"localcloud does not know the permission {permission}.")


def _held(role: Json) -> frozenset[str]:
    return _NONE if role.get("deleted") else frozenset(role.get("includedPermissions", ()))


def _missing(role: str) -> ApiError:
    return invalid(f"Role ({role}) does not exist in the resource's hierarchy.")
