"""Cloud Run: the services of functions, their invokers, and the instance that runs each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Library, Spec
from localcloud.services.context import Context
from localcloud.services.run.front import INVOKE
from localcloud.services.run.refusals import denied
from localcloud.services.run.service import RunService
from localcloud.services.run.service_v1 import RunServiceV1

__all__ = ["SPEC", "RunService"]


def _build(context: Context) -> Sequence[Any]:
    service = RunService(
        context.state, context.clock, context.iam, url=context.url, identity=context.identity
    )
    return [service, RunServiceV1(service), service.front]


SPEC = Spec(
    _build,
    service="run.googleapis.com",
    apis=("run.v2", "run.v1"),
    endpoint="RUN",
    permissions="run",
    denied=denied,
    libraries={"run.v2": Library("google-cloud-run", "google.cloud.run_v2", "google.cloud.run.v2")},
    methods=(INVOKE,),
    needs_port=True,
)
