"""Service Usage: the APIs that the project has enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Spec
from localcloud.services.context import Context
from localcloud.services.serviceusage.calls import ServiceUsage, ServiceUsageBeta

__all__ = ["SPEC"]


def _build(context: Context) -> Sequence[Any]:
    return [ServiceUsage(context.enabled), ServiceUsageBeta()]


SPEC = Spec(
    _build,
    service="serviceusage.googleapis.com",
    apis=("serviceusage.v1", "serviceusage.v1beta1"),
    endpoint="SERVICEUSAGE",
    permissions="serviceusage",
)
