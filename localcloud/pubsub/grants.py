"""Who may do what with a topic or a subscription: getIamPolicy, setIamPolicy, testIamPermissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from localcloud.errors import invalid
from localcloud.iam import PROJECT, Iam, by_id, tested
from localcloud.iam.setting import check_version, policy_to_set
from localcloud.kept import Kept
from localcloud.pubsub.names import authorize
from localcloud.pubsub.refusals import missing
from localcloud.service import Call, Handler

Json = dict[str, Any]

_SERVICE = "pubsub."


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
        check_version(int(call.params.get("options.requestedPolicyVersion", "0")))
        self._check_exists(name)
        return call.iam.policy(name)

    def _set(self, kind: str, call: Call) -> Json:
        name = authorize(call, f"pubsub.{kind}.setIamPolicy", call.params["resource"])
        policy = policy_to_set(call.body, _SERVICE)
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
