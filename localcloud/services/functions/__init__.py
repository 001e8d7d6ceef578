"""Cloud Functions (2nd gen): built from source archives, served by Cloud Run and fed by Pub/Sub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import FaultForm, Library, Spec
from localcloud.services.context import Context
from localcloud.services.functions.refusals import denied
from localcloud.services.functions.service import FunctionsService
from localcloud.services.functions.uploads import UPLOAD
from localcloud.services.pubsub import PubSubService
from localcloud.services.run import RunService

__all__ = ["SPEC", "FunctionsService"]


def _build(context: Context) -> Sequence[Any]:
    service = FunctionsService(
        context.state,
        context.clock,
        context.part(RunService),
        context.part(PubSubService),
        require_enabled=context.enabled.require,
        url=context.url,
        on_error=context.findings.error,
    )
    context.when_bound.append(service.resume)
    return [service, service.uploads]


SPEC = Spec(
    _build,
    service="cloudfunctions.googleapis.com",
    apis=("cloudfunctions.v2",),
    endpoint="CLOUDFUNCTIONS",
    permissions="cloudfunctions",
    denied=denied,
    libraries={
        "cloudfunctions.v2": Library(
            "google-cloud-functions", "google.cloud.functions_v2", "google.cloud.functions.v2"
        )
    },
    methods=(UPLOAD,),
    faults={
        "operation_error": FaultForm(
            tuple(
                f"cloudfunctions.projects.locations.functions.{verb}"
                for verb in ("create", "patch", "delete")
            ),
            required={"code": str},
            optional={"message": str},
        )
    },
    needs_port=True,
)
