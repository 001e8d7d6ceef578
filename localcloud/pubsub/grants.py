"""Who may do what with a topic or a subscription: getIamPolicy, setIamPolicy, testIamPermissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from localcloud.errors import invalid, unimplemented
from localcloud.iam import PROJECT, ROLES, Iam, by_id, tested
from localcloud.kept import Kept
from localcloud.pubsub.names import authorize
from localcloud.pubsub.refusals import missing
from localcloud.service import Call, Handler

Json = dict[str, Any]

_SERVICE = "pubsub."
_POLICY_VERSIONS = (0, 1, 3)


class Grants:
    """Handlers of the IAM methods of topics and subscriptions. Policies are kept, and count in every call from then on."""

    def __init__(self, iam: Iam, policies: Kept, exists: Callable[[str], bool]) -> None:
        self._iam = iam
        self._policies = policies
        self._exists = exists
        for name, policy in policies.items():
            iam.bind(name, {"bindings": policy.get("bindings", [])})

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        methods = {"getIamPolicy": self._get, "setIamPolicy": self._set, "testIamPermissions": self._test}
        return {
            f"pubsub.projects.{kind}.{name}": partial(method, kind)
            for kind in ("topics", "subscriptions")
            for name, method in methods.items()
        }

    def forget(self, name: str) -> None:
        """Forget the policy of a resource that is gone."""
        self._policies.remove(name)
        self._iam.unbind(name)

    def _get(self, kind: str, call: Call) -> Json:
        name = authorize(call, f"pubsub.{kind}.getIamPolicy", call.params["resource"])
        _check_version(int(call.params.get("options.requestedPolicyVersion", "0")))
        self._check_exists(name)
        return call.iam.policy(name)

    def _set(self, kind: str, call: Call) -> Json:
        name = authorize(call, f"pubsub.{kind}.setIamPolicy", call.params["resource"])
        policy = call.body.get("policy") or {}
        _check_version(policy.get("version") or 0)
        if policy.get("auditConfigs") or call.body.get("updateMask"):
            raise unimplemented(
                "localcloud sets the bindings of a policy only: no auditConfigs, no updateMask."
            )
        _check_roles(policy)
        with self._policies.lock:
            self._check_exists(name)
            bound = call.iam.bind(name, policy)
            self._policies.put(name, bound)
        return bound

    def _test(self, _kind: str, call: Call) -> Json:
        """Return the permissions that the caller has; of a resource that is not there, none."""
        for permission in call.body.get("permissions") or []:
            if not permission.startswith(_SERVICE):
                raise invalid(f"Permission {permission} is not valid for this resource.")
        name = by_id(call.params["resource"])
        if name.split("/")[1] != PROJECT or not self._exists(name):
            return {}
        return tested(call, name)

    def _check_exists(self, name: str) -> None:
        if not self._exists(name):
            raise missing(name)


def _check_version(version: int) -> None:
    if version not in _POLICY_VERSIONS:
        raise invalid(f"Invalid policy version {version}: valid values are 0, 1 and 3.")


def _check_roles(policy: Json) -> None:
    """Raise a 400 for a role that has nothing to do with Pub/Sub; roles that we do not know are `Iam`'s business."""
    for binding in policy.get("bindings") or ():
        role = binding.get("role") or ""
        if role in ROLES and not any(name.startswith(_SERVICE) for name in ROLES[role]):
            raise invalid(f"Role {role} is not supported for this resource.")
