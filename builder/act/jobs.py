"""Runs the jobs of a plan on a few threads. Each job ends in a result, even after an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from builder.act.job_run import BUG, JobRun, verdict_of
from builder.act.result import JobResult, unjudged
from builder.act.services import Services
from builder.act.staging import StagedInput
from builder.errors import BuilderError, ExitCode
from builder.model import Verdict
from builder.plan.build_plan import JobPlan
from builder.waiting import Cancellation

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_LOOK = 0.2  # seconds between two looks at the cancellation while jobs run
_NOT_STARTED = Verdict(ExitCode.NOTEBOOK_FAILED, "not_started", "NB_FAIL_FAST: an earlier notebook failed.")


def run_jobs(
    services: Services, staged_input: Callable[[JobPlan], StagedInput], cancellation: Cancellation
) -> Sequence[JobResult]:
    """Run every job, as many at a time as the plan allows. Raises Interrupted when the run is cancelled."""
    plan = services.plan
    pool = ThreadPoolExecutor(max_workers=plan.concurrency, thread_name_prefix="job")
    try:
        futures = [pool.submit(_run_job, services, job, staged_input) for job in plan.jobs]
        return [await_result(future, cancellation) for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def await_result(future: Future[T], cancellation: Cancellation) -> T:
    """Return the future's result. Raises Interrupted soon after a cancellation, even if the future hangs in a call."""
    while not future.done():
        cancellation.check()
        wait([future], timeout=_LOOK)
    cancellation.check()
    return future.result()


def _run_job(services: Services, job: JobPlan, staged_input: Callable[[JobPlan], StagedInput]) -> JobResult:
    if services.stop.is_set():
        return unjudged(job, _NOT_STARTED)
    try:
        services.check_time_left()
        result = JobRun(services, job, staged_input(job)).execute()
    except BuilderError as error:
        result = unjudged(job, verdict_of(error))
    except Exception:  # the other jobs and every teardown go on
        _logger.exception("job %s", job.job)
        result = unjudged(job, BUG)
    if services.plan.fail_fast and not result.verdict.green:
        services.stop.set()
    return result
