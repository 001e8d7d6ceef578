"""Secret Manager: secrets, their versions, and the policies on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Library, Spec
from localcloud.services.context import Context
from localcloud.services.secretmanager.refusals import denied
from localcloud.services.secretmanager.service import SecretManagerService

__all__ = ["SPEC", "SecretManagerService"]


def _build(context: Context) -> Sequence[Any]:
    return [SecretManagerService(context.state, context.clock, context.iam)]


SPEC = Spec(
    _build,
    service="secretmanager.googleapis.com",
    apis=("secretmanager.v1",),
    endpoint="SECRETMANAGER",
    permissions="secretmanager",
    denied=denied,
    libraries={
        "secretmanager.v1": Library(
            "google-cloud-secret-manager",
            "google.cloud.secretmanager_v1",
            "google.cloud.secretmanager.v1",
        )
    },
)
