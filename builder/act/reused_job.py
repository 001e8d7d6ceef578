"""Gives a job the results of an earlier green run of the same inputs instead of running it (NB_REUSE_GREEN)."""

from __future__ import annotations

from builder.act.job_record import JobRecord, Outcome
from builder.act.result import JobResult
from builder.act.reuse import GreenResults
from builder.act.services import Services
from builder.errors import ExitCode
from builder.judge.cell_runs import cell_runs
from builder.judge.executed_notebook import MAX_EXECUTED_BYTES
from builder.model import Verdict
from builder.plan.build_plan import JobPlan
from builder.ports import CallFailed


def reuse_results(services: Services, job: JobPlan, record: JobRecord) -> JobResult | None:
    """Publish earlier green results as this job's. Returns None, and reports why, if the job has to run."""
    if services.reuse is None:
        return None
    started = services.clock.monotonic()
    try:
        found = services.reuse.find(job.job, record.inputs, record.named_inputs)
        if isinstance(found, str):
            record.report(f"runs, since {found}")
            return None
        outcome = _outcome(services, job, found)
        record.log.text.append(found.log)
        output = record.publish(outcome, attempts=0, seconds=services.clock.monotonic() - started)
    except CallFailed as failure:
        record.log.text.clear()
        record.report(f"runs, since earlier results cannot be used: {failure}")
        return None
    seconds = services.clock.monotonic() - started
    services.progress.judged(job.job, outcome.verdict, seconds)
    return record.result(outcome.verdict, outcome, attempts=0, seconds=seconds, output=output)


def _outcome(services: Services, job: JobPlan, found: GreenResults) -> Outcome:
    """Return the earlier results as an outcome of this job. Raises CallFailed."""
    proven = found.reused.proven[:16].replace("T", " ")
    message = f"not run again: run {found.reused.run} was green for the same inputs, {proven} UTC"
    executed = dict(zip(found.names, found.objects, strict=True)).get(f"{job.name}.ipynb")
    content = (
        services.store.read(executed.name, generation=executed.generation, most=MAX_EXECUTED_BYTES)
        if executed
        else None
    )
    return Outcome(
        verdict=Verdict(ExitCode.GREEN, "green", message),
        objects=found.objects,
        names=found.names,
        facts=found.facts,
        cells=cell_runs(job.notebook, job.parameters, content),
        reused=found.reused,
    )
