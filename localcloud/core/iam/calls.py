"""getIamPolicy, setIamPolicy and testIamPermissions of the newer APIs, for every service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from localcloud.core.errors import ApiError, invalid, unimplemented
from localcloud.core.iam.predefined import PERMISSIONS
from localcloud.core.iam.project import PROJECT, by_id
from localcloud.core.service import Call, Handler

Json = dict[str, Any]

_MAX_PERMISSIONS = 100
_MASK = frozenset({"bindings", "etag", "version"})


@dataclass(frozen=True)
class Resources:
    """The resources of a service that have policies.

    `kinds` gives, for the beginning of a kind's methods ("pubsub.projects.topics"), that of its permissions
    ("pubsub.topics"). `named` returns the name of a call's resource as policies know it.
    """

    kinds: Mapping[str, str]
    exists: Callable[[str], bool]
    missing: Callable[[str], ApiError]
    named: Callable[[str], str] = by_id


def policy_handlers(resources: Resources) -> Mapping[str, Handler]:
    """Return a handler for each IAM method of resources. Policies count in every call from then on."""
    methods = {"getIamPolicy": _get, "setIamPolicy": _set, "testIamPermissions": _test}
    return {
        f"{kind}.{name}": partial(method, resources, permissions)
        for kind, permissions in resources.kinds.items()
        for name, method in methods.items()
    }


def _get(resources: Resources, permissions: str, call: Call) -> Json:
    name = _authorized(resources, f"{permissions}.getIamPolicy", call)
    return call.iam.policies.get(name, requested_version(call))


def _set(resources: Resources, permissions: str, call: Call) -> Json:
    name = _authorized(resources, f"{permissions}.setIamPolicy", call)
    policy = policy_to_set(call)
    check_supported(call, policy, permissions)
    return call.iam.policies.set(name, policy)


def _test(resources: Resources, permissions: str, call: Call) -> Json:
    """Return the permissions that the caller has; none for a missing resource."""
    for permission in call.body.get("permissions") or []:
        if not permission.startswith(_service(permissions)):
            raise invalid(f"Permission {permission} is not valid for this resource.")
    name = resources.named(call.params["resource"])
    if name.split("/")[1] != PROJECT or not resources.exists(name):
        return {}
    return tested(call, name)


def requested_version(call: Call) -> int:
    """Return the version of the policy that a getIamPolicy call asks for, 0 for none."""
    wanted = (call.body.get("options") or {}).get("requestedPolicyVersion")
    return int(wanted or call.params.get("options.requestedPolicyVersion") or 0)


def policy_to_set(call: Call) -> Json:
    """Return the policy of a setIamPolicy call; raises `ApiError` 501 for more than bindings."""
    policy: Json = call.body.get("policy") or {}
    mask = {part for part in (call.body.get("updateMask") or "").split(",") if part}
    if policy.get("auditConfigs") or not mask <= _MASK:
        raise unimplemented("localcloud sets the bindings of a policy only: no auditConfigs.")
    return policy


def _authorized(resources: Resources, permission: str, call: Call) -> str:
    name = call.authorize(permission, resources.named(call.params["resource"]))
    if not resources.exists(name):
        raise resources.missing(name)
    return name


def _service(permissions: str) -> str:
    """The prefix of all permissions of a service: "pubsub."."""
    return permissions.partition(".")[0] + "."


def check_supported(call: Call, policy: Json, permissions: str) -> None:
    """Raise `ApiError` 400 for a role without permissions of the resource's service."""
    service = _service(permissions)
    for binding in policy.get("bindings") or ():
        role = binding.get("role") or ""
        held = call.iam.roles.permissions(role)
        if held and not any(name.startswith(service) for name in held):
            raise invalid(f"Role {role} is not supported for this resource.")


def tested(call: Call, resource: str) -> Json:
    """Return the permissions of the call's body that its caller has on a resource.

    Raise `ApiError`: 400 for an invalid permission, or too many; 501 for one that no role has.
    """
    asked = call.body.get("permissions") or []
    if len(asked) > _MAX_PERMISSIONS:
        raise invalid("Request contains an invalid argument.")
    for permission in asked:
        if "*" in permission or permission.count(".") < 2:  # noqa: PLR2004  service.resources.verb
            raise invalid(f"Permission {permission} is not valid for this resource.")
        if permission not in PERMISSIONS:
            raise unimplemented(f"localcloud does not know the permission {permission}.")
    held = [permission for permission in asked if call.iam.allowed(call.caller, permission, resource)]
    return {"permissions": held} if held else {}
