"""The custom roles of the project."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from localcloud.core.iam import Iam
from localcloud.core.iam.predefined import PERMISSIONS
from localcloud.core.listing import page
from localcloud.core.masks import UpdateMask
from localcloud.core.service import Call, Handler, Part
from localcloud.services.iam.refusals import (
    bad_role_mask,
    no_such_role,
    not_deleted,
    role_changed,
    role_exists,
)
from localcloud.services.iam.rules import ROLE_FIELDS, check_role_id, role_fields

Json = dict[str, Any]

_MASK = UpdateMask("iam.v1", "Role", ROLE_FIELDS, bad_role_mask)
_MAX_PAGE = 1000


class RoleCalls(Part):
    """Roles by name. A deleted role gives nothing until it is restored."""

    api = "iam.v1"

    def __init__(self, iam: Iam) -> None:
        self._roles = iam.roles

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "iam.permissions.queryTestablePermissions": self._permissions,
            "iam.projects.roles.create": self._create,
            "iam.projects.roles.get": self._get,
            "iam.projects.roles.patch": self._patch,
            "iam.projects.roles.delete": self._delete,
            "iam.projects.roles.undelete": self._undelete,
        }

    def _permissions(self, call: Call) -> Json:
        found = [{"name": name, "stage": "GA"} for name in sorted(PERMISSIONS)]
        asked: dict[str, str] = {
            key: str(call.body[key]) for key in ("pageSize", "pageToken") if key in call.body
        }
        return page(found, asked, "permissions", _MAX_PAGE, default=100)

    def _create(self, call: Call) -> Json:
        parent = call.authorize("iam.roles.create", call.params["parent"])
        role_id = call.body.get("roleId", "")
        check_role_id(role_id)
        name = f"{parent}/roles/{role_id}"
        known = self._roles.find(name)
        if known is not None:
            raise role_exists(role_id, deleted=known.get("deleted", False))
        return self._put({"name": name, "stage": "ALPHA", **role_fields(call.body.get("role") or {})})

    def _get(self, call: Call) -> Json:
        return self._authorized(call, "get")

    def _patch(self, call: Call) -> Json:
        role = self._authorized(call, "update")
        _check_etag(role, call.body.get("etag"))
        given = role_fields(call.body)
        mask = call.params.get("updateMask", "") or ",".join(given)
        return self._put(_MASK.changed(role, given, mask) if mask else role)

    def _delete(self, call: Call) -> Json:
        role = self._authorized(call, "delete")
        _check_etag(role, call.params.get("etag"))
        return self._put({**role, "deleted": True})

    def _undelete(self, call: Call) -> Json:
        role = self._authorized(call, "undelete")
        _check_etag(role, call.body.get("etag"))
        if not role.get("deleted"):
            raise not_deleted(role["name"])
        return self._put({key: value for key, value in role.items() if key != "deleted"})

    def _put(self, role: Json) -> Json:
        changed = {**role, "etag": base64.b64encode(secrets.token_bytes(8)).decode()}
        self._roles.put(changed)
        return changed

    def _authorized(self, call: Call, verb: str) -> Json:
        name = call.authorize(f"iam.roles.{verb}", call.params["name"])
        role = self._roles.find(name)
        if role is None:
            raise no_such_role(name)
        return role


def _check_etag(role: Json, etag: str | None) -> None:
    if etag and etag != role.get("etag"):
        raise role_changed(role["name"])
