"""Cloud Storage: a store of plain files behind Google's JSON API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import FaultForm, Spec
from localcloud.services.context import Context
from localcloud.services.storage.refusals import denied
from localcloud.services.storage.service import StorageService

__all__ = ["SPEC", "StorageService"]

_WRITES = ("storage.objects.insert",)


def _build(context: Context) -> Sequence[Any]:
    return [StorageService(context.state, context.clock, context.iam, context.faults)]


SPEC = Spec(
    _build,
    service="storage.googleapis.com",
    apis=("storage.v1",),
    endpoint="STORAGE",
    gcloud_path="storage/v1/",
    permissions="storage",
    denied=denied,
    methods=(
        "storage.resumable.start",
        "storage.resumable.chunk",
        "storage.resumable.status",
        "storage.resumable.cancel",
    ),
    faults={
        "corrupt": FaultForm(_WRITES),
        "truncate": FaultForm(_WRITES, required={"bytes": int}),
        "lose": FaultForm(_WRITES),
    },
)
