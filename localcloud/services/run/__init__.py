"""Cloud Run: the services of functions, their invokers, and the instance that runs each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Spec
from localcloud.services.context import Context
from localcloud.services.run.front import INVOKE
from localcloud.services.run.refusals import denied
from localcloud.services.run.service import RunService

__all__ = ["SPEC", "RunService"]


def _build(context: Context) -> Sequence[Any]:
    service = RunService(context.clock, context.iam, url=context.url, identity=context.identity)
    return [service, service.front]


SPEC = Spec(
    _build,
    service="run.googleapis.com",
    apis=("run.v2",),
    endpoint="RUN",
    permissions="run",
    denied=denied,
    methods=(INVOKE,),
    needs_port=True,
)
