"""The Resource Manager service, in two versions of its API: one project, whose permissions can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.errors import forbidden
from localcloud.iam import PROJECT, PROJECT_NUMBER, tested
from localcloud.iam.policies import by_id
from localcloud.service import Call, Handler

Json = dict[str, Any]


class ResourceManagerService:
    """Projects, read only. There is nothing to keep."""

    api = "cloudresourcemanager.v3"

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "cloudresourcemanager.projects.get": self._get,
            "cloudresourcemanager.projects.testIamPermissions": self._test,
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return nothing: a project is not a resource that anybody could leave behind."""
        return {}

    def close(self) -> None:
        """Nothing runs."""

    def _get(self, call: Call) -> Json:
        _check_seen(call, by_id(call.params["name"]))
        return {
            "name": f"projects/{PROJECT_NUMBER}",
            "projectId": PROJECT,
            "displayName": "Local project",
            "state": "ACTIVE",
        }

    def _test(self, call: Call) -> Json:
        return _tested(call, by_id(call.params["resource"]))


class ResourceManagerV1Service(ResourceManagerService):
    """The same projects as the API's first version shows them, which scripts by `googleapiclient` still ask."""

    api = "cloudresourcemanager.v1"

    def _get(self, call: Call) -> Json:
        _check_seen(call, by_id(f"projects/{call.params['projectId']}"))
        return {
            "projectNumber": PROJECT_NUMBER,
            "projectId": PROJECT,
            "name": "Local project",
            "lifecycleState": "ACTIVE",
        }

    def _test(self, call: Call) -> Json:
        return _tested(call, by_id(f"projects/{call.params['resource']}"))


def _check_seen(call: Call, name: str) -> None:
    """Raise `ApiError` 403 unless the caller may see the project."""
    call.require("resourcemanager.projects.get", name)
    _check_ours(call, name)


def _tested(call: Call, name: str) -> Json:
    """Tell which of some permissions the caller has. No permission is needed to ask."""
    _check_ours(call, name)
    return tested(call, name)


def _check_ours(call: Call, name: str) -> None:
    """Raise what Google says of a project that is not there, which is what it says of one that is somebody else's."""
    if name != f"projects/{PROJECT}":
        raise forbidden(f"The caller does not have permission to {call.method.rpartition('.')[2]} {name}.")
