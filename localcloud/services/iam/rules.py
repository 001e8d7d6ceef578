"""Checks that need no state: ids of accounts and roles, and the fields that a caller may set. Pure."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core.errors import invalid
from localcloud.core.iam.roles import check_permission

Json = dict[str, Any]

_ACCOUNT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_ROLE_ID = re.compile(r"[A-Za-z0-9_.]{3,64}")
_ACCOUNT_FIELDS = ("displayName", "description")
_MAX_LENGTH = {"displayName": 100, "description": 256, "title": 100}
ROLE_FIELDS = ("title", "description", "includedPermissions", "stage")
_MAX_PERMISSIONS = 3000


def check_account_id(account_id: str) -> None:
    """Raise `ApiError` 400 unless an account can have an id: 6 to 30 characters of [a-z0-9-]."""
    if _ACCOUNT_ID.fullmatch(account_id) is None:
        raise invalid(
            f'The account ID "{account_id}" does not have a length between 6 and 30, or does not match '
            f"{_ACCOUNT_ID.pattern}."
        )


def account_fields(given: Json) -> Json:
    """Return the fields of an account that a caller sets; raises `ApiError` 400 for one that is too long."""
    _check_lengths(given)
    return {key: given[key] for key in _ACCOUNT_FIELDS if given.get(key)}


def check_role_id(role_id: str) -> None:
    """Raise `ApiError` 400 unless a custom role can have an id."""
    if _ROLE_ID.fullmatch(role_id) is None:
        raise invalid(f"The role id {role_id} is invalid: it must match {_ROLE_ID.pattern}.")


def role_fields(given: Json) -> Json:
    """Return the fields of a role that a caller sets; raises `ApiError` for permissions, see `check_permission`."""
    _check_lengths(given)
    permissions = given.get("includedPermissions") or []
    if len(permissions) > _MAX_PERMISSIONS:
        raise invalid(f"A role can have {_MAX_PERMISSIONS} permissions at most.")
    for permission in permissions:
        check_permission(permission)
    fields = {key: given[key] for key in ROLE_FIELDS if given.get(key)}
    return fields | ({"includedPermissions": sorted(set(permissions))} if permissions else {})


def _check_lengths(given: Json) -> None:
    for key, longest in _MAX_LENGTH.items():
        if len(given.get(key) or "") > longest:
            raise invalid(f"{key} is longer than {longest} characters.")
