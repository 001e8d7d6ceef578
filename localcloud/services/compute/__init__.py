"""Compute Engine: instances that boot as real processes, their disks and operations, and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.core.spec import FaultForm, Spec, Types
from localcloud.services.compute.life import Pace
from localcloud.services.compute.refusals import denied
from localcloud.services.compute.service import ComputeService
from localcloud.services.context import Context

__all__ = ["SPEC", "ComputeService", "Pace"]

_NUMBER = (int, float)
_WHEN: Mapping[str, Types] = {"after": _NUMBER, "at": str}


def _build(context: Context) -> Sequence[Any]:
    service = ComputeService(
        context.state,
        context.clock,
        context.iam,
        context.faults,
        profile=context.profile,
        boot=context.boot,
    )
    context.reaches = service.is_heard
    return [service]


SPEC = Spec(
    _build,
    service="compute.googleapis.com",
    apis=("compute.v1",),
    endpoint="COMPUTE",
    gcloud_path="compute/v1/",
    permissions="compute",
    denied=denied,
    events=("vm.boot", "vm.life"),
    faults={
        "operation_error": FaultForm(
            ("compute.instances.insert", "compute.instances.delete"),
            required={"code": str},
            optional={"message": str, "http_status": int, "http_message": str, "visible_instance": bool},
        ),
        "idle": FaultForm(("vm.boot",)),
        "gpus": FaultForm(("vm.boot",), required={"count": int}),
        "vanish": FaultForm(("vm.life",), one_of=_WHEN),
        "preempt": FaultForm(("vm.life",), optional={"notice": _NUMBER}, one_of=_WHEN),
        "stop": FaultForm(("vm.life",), one_of=_WHEN),
    },
)
