"""Policies of a service's resources: getIamPolicy, setIamPolicy and testIamPermissions of the newer APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from localcloud.errors import ApiError, invalid
from localcloud.iam import PROJECT, Iam, by_id, tested
from localcloud.iam.setting import check_version, policy_to_set
from localcloud.kept import Kept
from localcloud.service import Call, Handler

Json = dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """What of a service has policies.

    `kinds`: how the permissions of a kind begin ("pubsub.topics"), by how its methods do ("pubsub.projects.topics").
    `authorize`: the service's first check; it returns the resource's name with the project's id, or raises `ApiError`.
    """

    kinds: Mapping[str, str]
    authorize: Callable[[Call, str, str], str]
    exists: Callable[[str], bool]
    missing: Callable[[str], ApiError]


class KeptPolicies:
    """Handlers of the IAM methods of resources. Policies are kept, and count in every call from then on."""

    def __init__(self, iam: Iam, policies: Kept, resources: Resources) -> None:
        self._iam = iam
        self._policies = policies
        self._of = resources
        for name, policy in policies.items():
            iam.bind(name, {"bindings": policy.get("bindings", [])})

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        methods = {"getIamPolicy": self._get, "setIamPolicy": self._set, "testIamPermissions": self._test}
        return {
            f"{kind}.{name}": partial(method, permissions)
            for kind, permissions in self._of.kinds.items()
            for name, method in methods.items()
        }

    def forget(self, name: str) -> None:
        """Forget the policy of a resource that is gone."""
        self._policies.remove(name)
        self._iam.unbind(name)

    def _get(self, permissions: str, call: Call) -> Json:
        name = self._of.authorize(call, f"{permissions}.getIamPolicy", call.params["resource"])
        check_version(int(call.params.get("options.requestedPolicyVersion", "0")))
        self._check_exists(name)
        return call.iam.policy(name)

    def _set(self, permissions: str, call: Call) -> Json:
        name = self._of.authorize(call, f"{permissions}.setIamPolicy", call.params["resource"])
        policy = policy_to_set(call.body, _service(permissions))
        with self._policies.lock:
            self._check_exists(name)
            bound = call.iam.bind(name, policy)
            self._policies.put(name, bound)
        return bound

    def _test(self, permissions: str, call: Call) -> Json:
        """Return the permissions that the caller has; of a resource that is not there, none."""
        for permission in call.body.get("permissions") or []:
            if not permission.startswith(_service(permissions)):
                raise invalid(f"Permission {permission} is not valid for this resource.")
        name = by_id(call.params["resource"])
        if name.split("/")[1] != PROJECT or not self._of.exists(name):
            return {}
        return tested(call, name)

    def _check_exists(self, name: str) -> None:
        if not self._of.exists(name):
            raise self._of.missing(name)


def _service(permissions: str) -> str:
    """How all permissions of a service begin: "pubsub."."""
    return permissions.partition(".")[0] + "."
