"""What a run leaves behind as values: one result per job, and the exit code that follows from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.act.fleet import Ending, Vm
from builder.errors import ExitCode
from builder.model import JsonObject, Verdict
from builder.plan.make import JobPlan

# The gravest first: a run with several notebooks exits with the first of these that any of them has.
_GRAVEST_FIRST = (
    ExitCode.BUG,
    ExitCode.BAD_INPUT,
    ExitCode.PROJECT_SETUP,
    ExitCode.NO_CAPACITY,
    ExitCode.ENVIRONMENT_FAILED,
    ExitCode.TIME_LIMIT,
    ExitCode.NOTEBOOK_FAILED,
)


@dataclass(frozen=True)
class JobResult:
    """How one job ended. `output` is the gs:// address of its published folder, empty if nothing was published."""

    job: str
    notebook: str
    parameters: Mapping[str, Any]
    verdict: Verdict
    attempts: int
    seconds: float
    output: str
    name: str
    has_notebook: bool
    inputs: str = ""  # hash of all that says how it ran; "" where it never got that far, as the next one
    workspace_sha256: str = ""  # hash of its packed files
    image: str = ""  # the exact image of its VM
    packages: tuple[str, ...] = ()  # what was installed beside the image's own

    def summary(self) -> JsonObject:
        """The job's entry in summary.json."""
        return {
            "job": self.job,
            "notebook": self.notebook,
            "parameters": dict(self.parameters),
            "verdict": color(self.verdict),
            "exit_code": int(self.verdict.exit_code),
            "reason": self.verdict.reason,
            "message": self.verdict.message,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "output": self.output,
            "inputs": self.inputs,
        }


def unjudged(job: JobPlan, verdict: Verdict) -> JobResult:
    """The result of a job that no VM was asked for."""
    return JobResult(
        job=job.job,
        notebook=job.notebook.path,
        parameters=job.parameters,
        verdict=verdict,
        attempts=0,
        seconds=0.0,
        output="",
        name=job.name,
        has_notebook=False,
    )


def color(verdict: Verdict) -> str:
    """`green` or `red`, as the documents say it."""
    return "green" if verdict.green else "red"


def exit_code(results: Sequence[JobResult], left: Sequence[Vm]) -> ExitCode:
    """The run's exit code. `left`: the VMs whose end is not confirmed by a 404."""
    if not results:
        raise ValueError("a run without results has no verdict")
    codes = {result.verdict.exit_code for result in results}
    for code in _GRAVEST_FIRST:
        if code in codes:
            return code
    unconfirmed = any(vm.ending is not Ending.DEADLINE for vm in left)
    return ExitCode.CLEANUP_UNCONFIRMED if unconfirmed else ExitCode.GREEN


def summary(run: str, results: Sequence[JobResult], code: ExitCode) -> JsonObject:
    """summary.json: the run in one document for other programs."""
    green = code in {ExitCode.GREEN, ExitCode.CLEANUP_UNCONFIRMED}
    return {
        "schema": 1,
        "run": run,
        "verdict": "green" if green else "red",
        "exit_code": int(code),
        "jobs": [result.summary() for result in results],
    }
