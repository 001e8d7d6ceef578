"""Gives a job the results of an earlier green run of the same inputs instead of running it (NB_REUSE_GREEN)."""

from __future__ import annotations

from builder.act.job_record import JobRecord
from builder.act.result import JobResult
from builder.act.services import Services
from builder.plan.build_plan import JobPlan
from builder.ports import CallFailed


def reuse_results(services: Services, job: JobPlan, record: JobRecord) -> JobResult | None:
    """Publish earlier green results as this job's. Returns None, and reports why, if the job has to run."""
    if services.reuse is None:
        return None
    started = services.clock.monotonic()
    try:
        found = services.reuse.find(job, record.inputs, record.named_inputs)
        if isinstance(found, str):
            record.report(f"runs on a VM: {found}")
            return None
        outcome, log = found
        record.log.text.append(log)
        output = record.publish(outcome, attempts=0, seconds=services.clock.monotonic() - started)
    except CallFailed as failure:
        record.log.text.clear()
        record.report(f"runs on a VM: earlier results cannot be used: {failure}")
        return None
    seconds = services.clock.monotonic() - started
    services.progress.judged(job.job, outcome.verdict, seconds)
    return record.result(outcome.verdict, outcome, attempts=0, seconds=seconds, output=output)
