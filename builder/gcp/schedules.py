"""Cloud Scheduler through google-cloud-scheduler: the Schedules of `deploy`. The library's own retries are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from google.cloud import scheduler_v1
from google.protobuf.field_mask_pb2 import FieldMask

from builder.deploy_ports import JobConfig, JobState
from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.ports import Clock


class GoogleSchedules:
    """The port `deploy_ports.Schedules`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._calls = Calls(clock, budget, timeout)
        self._client = scheduler_v1.CloudSchedulerClient(
            credentials=access.credentials,
            transport="rest",
            client_options={"api_endpoint": access.endpoint("cloudscheduler")},
        )

    def close(self) -> None:
        """Close the connections. A process that ends need not call it."""
        self._client.transport.close()

    def get(self, path: str) -> JobState | None:
        job = self._calls.unless_missing(
            "cloudscheduler.jobs.get",
            path,
            lambda: self._client.get_job(name=path, timeout=self._calls.timeout, retry=None),
        )
        return None if job is None else _state(job)

    def create(self, path: str, config: JobConfig) -> None:
        parent = path.partition("/jobs/")[0]
        self._calls.make(
            "cloudscheduler.jobs.create",
            path,
            lambda: self._client.create_job(
                parent=parent, job=_job(path, config), timeout=self._calls.timeout, retry=None
            ),
        )

    def update(self, path: str, config: JobConfig, *, mask: Sequence[str]) -> None:
        self._calls.make(
            "cloudscheduler.jobs.update",
            path,
            lambda: self._client.update_job(
                job=_job(path, config),
                update_mask=FieldMask(paths=list(mask)),
                timeout=self._calls.timeout,
                retry=None,
            ),
        )

    def delete(self, path: str) -> bool:
        return self._calls.delete(
            "cloudscheduler.jobs.delete",
            path,
            lambda: self._client.delete_job(name=path, timeout=self._calls.timeout, retry=None),
        )


def _job(path: str, config: JobConfig) -> scheduler_v1.Job:
    target = scheduler_v1.PubsubTarget(
        topic_name=config.topic, data=config.data, attributes=dict(config.attributes)
    )
    return scheduler_v1.Job(
        name=path,
        description=config.description,
        pubsub_target=target,
        schedule=config.cron,
        time_zone=config.time_zone,
        retry_config=scheduler_v1.RetryConfig(retry_count=config.retries),
    )


def _state(job: scheduler_v1.Job) -> JobState:
    target = job.pubsub_target
    config = JobConfig(
        cron=job.schedule,
        time_zone=job.time_zone,
        topic=target.topic_name,
        data=bytes(target.data),
        description=job.description,
        attributes=dict(target.attributes),
        retries=job.retry_config.retry_count,
    )
    state = job.state.name if isinstance(job.state, scheduler_v1.Job.State) else str(job.state)
    attempted = job.last_attempt_time.rfc3339() if "last_attempt_time" in job else ""
    failure = f"{job.status.message or 'code'} [{job.status.code}]" if job.status.code else ""
    planned = job.schedule_time.rfc3339() if "schedule_time" in job else ""
    return JobState(job.name, config, _target(job), state, attempted, failure, planned)


def _target(job: scheduler_v1.Job) -> Literal["pubsub", "http", "app engine"]:
    if "http_target" in job:
        return "http"
    return "app engine" if "app_engine_http_target" in job else "pubsub"
