"""Runs the jobs of a plan on a few threads. Each job ends in a result, even after an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from builder.act.job_run import BUG, JobRun, verdict_of
from builder.act.result import JobResult, unjudged
from builder.act.services import Services
from builder.act.staging import StagedInput
from builder.errors import BuilderError, ExitCode
from builder.model import Verdict
from builder.plan.build_plan import JobPlan
from builder.waiting import Cancellation, await_result

_logger = logging.getLogger(__name__)
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


def _run_job(services: Services, job: JobPlan, staged_input: Callable[[JobPlan], StagedInput]) -> JobResult:
    if services.stop.is_set():
        return unjudged(job, _NOT_STARTED)
    job_run: JobRun | None = None
    try:
        services.check_time_left()
        job_run = JobRun(services, job, staged_input(job))
        result = job_run.execute()
    except BuilderError as error:
        result = unjudged(job, verdict_of(error), attempts=job_run.attempts if job_run else 0)
    except Exception:  # the other jobs and every teardown go on
        _logger.exception("job %s", job.job)
        result = unjudged(job, BUG, attempts=job_run.attempts if job_run else 0)
    if services.plan.fail_fast and not result.verdict.green:
        services.stop.set()
    return result
