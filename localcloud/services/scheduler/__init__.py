"""Cloud Scheduler: jobs that publish to Pub/Sub by a cron schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import FaultForm, Library, Spec
from localcloud.services.context import Context
from localcloud.services.pubsub import PubSubService
from localcloud.services.scheduler.refusals import denied
from localcloud.services.scheduler.service import SchedulerService

__all__ = ["SPEC", "SchedulerService"]


def _build(context: Context) -> Sequence[Any]:
    return [SchedulerService(context.state, context.clock, context.part(PubSubService).publish)]


SPEC = Spec(
    _build,
    service="cloudscheduler.googleapis.com",
    apis=("cloudscheduler.v1",),
    endpoint="CLOUDSCHEDULER",
    permissions="cloudscheduler",
    denied=denied,
    libraries={
        "cloudscheduler.v1": Library(
            "google-cloud-scheduler", "google.cloud.scheduler_v1", "google.cloud.scheduler.v1"
        )
    },
    faults={
        "update_failed": FaultForm(
            ("cloudscheduler.projects.locations.jobs.patch",), optional={"status": int, "message": str}
        )
    },
)
