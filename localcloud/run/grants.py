"""Who may do what with a Cloud Run service: getIamPolicy, setIamPolicy, testIamPermissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localcloud.iam import PROJECT, Iam, by_id, tested
from localcloud.iam.setting import check_version, policy_to_set
from localcloud.kept import Kept
from localcloud.run.access import authorize, missing
from localcloud.service import Call, Handler

Json = dict[str, Any]


class Grants:
    """Handlers of the IAM methods of services. Policies are kept, and count in every request from then on."""

    def __init__(self, iam: Iam, policies: Kept, exists: Callable[[str], bool]) -> None:
        self._iam = iam
        self._policies = policies
        self._exists = exists
        for name, policy in policies.items():
            iam.bind(name, {"bindings": policy.get("bindings", [])})

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "run.projects.locations.services.getIamPolicy": self._get,
            "run.projects.locations.services.setIamPolicy": self._set,
            "run.projects.locations.services.testIamPermissions": self._test,
        }

    def forget(self, name: str) -> None:
        """Forget the policy of a service that is gone."""
        self._policies.remove(name)
        self._iam.unbind(name)

    def _get(self, call: Call) -> Json:
        name = authorize(call, "run.services.getIamPolicy", call.params["resource"])
        check_version(int(call.params.get("options.requestedPolicyVersion", "0")))
        self._check_exists(name)
        return call.iam.policy(name)

    def _set(self, call: Call) -> Json:
        name = authorize(call, "run.services.setIamPolicy", call.params["resource"])
        policy = policy_to_set(call.body, "run.")
        with self._policies.lock:
            self._check_exists(name)
            bound = call.iam.bind(name, policy)
            self._policies.put(name, bound)
        return bound

    def _test(self, call: Call) -> Json:
        """Return the permissions that the caller has; of a service that is not there, none."""
        name = by_id(call.params["resource"])
        if name.split("/")[1] != PROJECT or not self._exists(name):
            return {}
        return tested(call, name)

    def _check_exists(self, name: str) -> None:
        if not self._exists(name):
            raise missing(name)
