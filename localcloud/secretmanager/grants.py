"""Who may do what with a secret: getIamPolicy, setIamPolicy, testIamPermissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localcloud.errors import invalid
from localcloud.iam.setting import check_version, policy_to_set
from localcloud.secretmanager import names
from localcloud.secretmanager.access import authorize
from localcloud.secretmanager.store import Store
from localcloud.service import Call, Handler

Json = dict[str, Any]

_SERVICE = "secretmanager."


class Grants:
    """Handlers of a secret's IAM methods. A policy is kept with its secret and counts in every call from then on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "secretmanager.projects.secrets.getIamPolicy": self._get,
            "secretmanager.projects.secrets.setIamPolicy": self._set,
            "secretmanager.projects.secrets.testIamPermissions": self._test,
        }

    def _get(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.getIamPolicy", call.params["resource"])
        check_version(int(call.params.get("options.requestedPolicyVersion", "0")))
        secret = self._store.get(names.parse(call.params["resource"]).secret)
        return call.iam.policy(names.secret_name(secret.id))

    def _set(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.setIamPolicy", call.params["resource"])
        policy = policy_to_set(call.body, _SERVICE)
        with self._store.lock:
            secret = self._store.get(names.parse(call.params["resource"]).secret)
            bound = call.iam.bind(names.secret_name(secret.id), policy)
            self._store.put(replace(secret, policy=bound))
        return bound

    def _test(self, call: Call) -> Json:
        """Return the permissions that the caller has; of a secret that is not there, none."""
        wanted = call.body.get("permissions") or []
        for permission in wanted:
            if "*" in permission or not permission.startswith(_SERVICE):
                raise invalid(f"Permission {permission} is not valid for this resource.")
        resource = names.parse(call.params["resource"])
        if not names.is_ours(resource.project) or self._store.find(resource.secret) is None:
            return {}
        held = [name for name in wanted if call.iam.allowed(call.caller, name, resource.given)]
        return {"permissions": held} if held else {}
