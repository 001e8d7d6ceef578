"""The Resource Manager service, in two versions of its API: one project, and its policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.errors import failed_precondition, forbidden
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, by_id
from localcloud.core.iam.calls import policy_to_set, requested_version, tested
from localcloud.core.iam.predefined import OWNER_ROLE
from localcloud.core.service import Call, Handler, Part

Json = dict[str, Any]


class ResourceManagerService(Part):
    """The project and its policy."""

    api = "cloudresourcemanager.v3"

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "cloudresourcemanager.projects.get": self._get,
            "cloudresourcemanager.projects.testIamPermissions": self._test,
            "cloudresourcemanager.projects.getIamPolicy": self._get_policy,
            "cloudresourcemanager.projects.setIamPolicy": self._set_policy,
        }

    def _get(self, call: Call) -> Json:
        _check_seen(call, by_id(call.params["name"]))
        return {
            "name": f"projects/{PROJECT_NUMBER}",
            "projectId": PROJECT,
            "displayName": "Local project",
            "state": "ACTIVE",
        }

    def _test(self, call: Call) -> Json:
        """Answer with those of the permissions that the caller has. This call needs no permission."""
        name = self._named(call.params["resource"])
        _check_ours(call, name)
        return tested(call, name)

    def _get_policy(self, call: Call) -> Json:
        name = call.authorize("resourcemanager.projects.getIamPolicy", self._named(call.params["resource"]))
        return call.iam.policies.get(name, requested_version(call))

    def _set_policy(self, call: Call) -> Json:
        """Replace the project's policy, which needs an owner."""
        name = call.authorize("resourcemanager.projects.setIamPolicy", self._named(call.params["resource"]))
        policy = policy_to_set(call)
        owners = [binding for binding in policy.get("bindings", ()) if binding.get("role") == OWNER_ROLE]
        if not any(member.startswith("user:") for binding in owners for member in binding.get("members", ())):
            raise failed_precondition("The project must have at least one owner.")
        return call.iam.policies.set(name, policy)

    def _named(self, resource: str) -> str:
        """Return the project's name with its id."""
        return by_id(resource)


class ResourceManagerV1Service(ResourceManagerService):
    """The project in version 1 of the API, which scripts that use `googleapiclient` still call."""

    api = "cloudresourcemanager.v1"

    def _get(self, call: Call) -> Json:
        _check_seen(call, by_id(f"projects/{call.params['projectId']}"))
        return {
            "projectNumber": PROJECT_NUMBER,
            "projectId": PROJECT,
            "name": "Local project",
            "lifecycleState": "ACTIVE",
        }

    def _named(self, resource: str) -> str:
        return by_id(f"projects/{resource}")


def _check_seen(call: Call, name: str) -> None:
    """Raise `ApiError` 403 unless the caller may see the project."""
    call.require("resourcemanager.projects.get", name)
    _check_ours(call, name)


def _check_ours(call: Call, name: str) -> None:
    """Raise Google's refusal for a missing project, which is also that for another user's project."""
    if name != f"projects/{PROJECT}":
        raise forbidden(f"The caller does not have permission to {call.method.rpartition('.')[2]} {name}.")
