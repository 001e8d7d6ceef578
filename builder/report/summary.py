"""summary.json: a run in one document for other programs. `deploy` reads it as the proof that a run was green."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from builder.act.proofs import Origin
from builder.act.result import JobResult, RunResult, color
from builder.errors import ExitCode
from builder.model import GcsLocation, JsonObject
from builder.ports import CallFailed, ObjectStore

MAX_BUILD_OUTPUT = 50_000  # bytes


def write_summary(
    result: RunResult,
    store: ObjectStore,
    location: GcsLocation,
    log: Callable[[str], None],
    origin: Origin,
) -> RunResult:
    """Write the summary below `results/` and return the run's result with it.

    A green run whose summary cannot be written gets exit code 6: without a summary it is no proof for `deploy`.
    """
    name = location.object("results", result.run, "summary.json")
    try:
        written = store.replace(name, render_summary(result, origin), content_type="application/json")
    except CallFailed as failure:
        trouble = f"the summary could not be written: {failure}"
        log(f"warning: {trouble}")
        code = ExitCode.ENVIRONMENT_FAILED if result.green else result.exit_code
        return replace(result, trouble=trouble, exit_code=code)
    return replace(result, summary=written, report=f"gs://{store.bucket}/{name}")


def render_summary(result: RunResult, origin: Origin) -> bytes:
    """Return the document, which docs/summary.schema.json describes."""
    return (
        json.dumps(_document(result, origin), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    ).encode()


def write_build_output(result: RunResult, folder: Path, log: Callable[[str], None], origin: Origin) -> None:
    """Write the summary to $BUILDER_OUTPUT/output, where Cloud Build takes a step's output from.

    Cloud Build keeps 50 KB of it, so a longer summary leaves out jobs, the green ones first, and counts them in
    `jobs_left_out`.
    """
    document = _document(result, origin)
    jobs = sorted(document["jobs"], key=lambda job: str(job["verdict"]) == "green")
    kept = len(jobs)
    while len(content := _compact({**document, "jobs": jobs[:kept], "jobs_left_out": len(jobs) - kept})) > (
        MAX_BUILD_OUTPUT
    ):
        kept = kept * MAX_BUILD_OUTPUT // (len(content) + 1)
    try:
        (folder / "output").write_bytes(content)
    except OSError as error:
        log(f"warning: $BUILDER_OUTPUT/output could not be written: {error.strerror}")


def _compact(document: JsonObject) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _document(result: RunResult, origin: Origin) -> JsonObject:
    return {
        "schema": 1,
        "run": result.run,
        "build": origin.build or "",
        "commit": origin.commit or "",
        "verdict": result.color,
        "exit_code": int(result.exit_code),
        "began": result.began,
        "seconds": round(result.seconds, 3),
        "jobs": [_job(job) for job in result.jobs],
    }


def _job(job: JobResult) -> JsonObject:
    return {
        "job": job.job,
        "notebook": job.notebook,
        "parameters": dict(job.parameters),
        "verdict": color(job.verdict),
        "exit_code": int(job.verdict.exit_code),
        "reason": job.verdict.reason,
        "message": job.verdict.message,
        "attempts": job.attempts,
        "seconds": round(job.seconds, 3),
        "output": job.output,
        "result_generation": str(job.result_generation),
        "inputs": job.inputs,
        **({"reused": asdict(job.reused)} if job.reused else {}),
    }
