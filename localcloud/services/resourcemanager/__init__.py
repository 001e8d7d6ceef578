"""Resource Manager, as far as a preflight uses it: the project, and the caller's permissions in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Library, Spec
from localcloud.services.context import Context
from localcloud.services.resourcemanager.calls import ResourceManagerService, ResourceManagerV1Service


def _build(_context: Context) -> Sequence[Any]:
    return [ResourceManagerService(), ResourceManagerV1Service()]


SPEC = Spec(
    _build,
    service="cloudresourcemanager.googleapis.com",
    apis=("cloudresourcemanager.v3", "cloudresourcemanager.v1"),
    endpoint="CLOUDRESOURCEMANAGER",
    permissions="resourcemanager",
    libraries={
        "cloudresourcemanager.v3": Library(
            "google-cloud-resource-manager",
            "google.cloud.resourcemanager_v3",
            "google.cloud.resourcemanager.v3",
        )
    },
)
