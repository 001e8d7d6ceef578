"""The possible ends of a run: judged jobs, a duplicate of another run, or VMs that were abandoned after a signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.act.vm import Ending, Vm
from builder.errors import BuilderError, ExitCode
from builder.model import CellRun, JsonObject, Listed, Verdict
from builder.plan.build_plan import JobPlan
from builder.plan.named_inputs import NamedInputs
from builder.vm.protocol import Evidence

# A run exits with the first of these codes that any of its jobs has.
_GRAVEST_FIRST = (
    ExitCode.BUG,
    ExitCode.PROJECT_SETUP,
    ExitCode.BAD_INPUT,
    ExitCode.NO_CAPACITY,
    ExitCode.ENVIRONMENT_FAILED,
    ExitCode.TIME_LIMIT,
    ExitCode.NOTEBOOK_FAILED,
    ExitCode.CLEANUP_UNCONFIRMED,
    ExitCode.GREEN,
)


def gravity(code: int) -> int:
    """Return a number that is higher for a graver exit code. One that no run has is the gravest."""
    order = [int(each) for each in _GRAVEST_FIRST]
    return -order.index(code) if code in order else 1


@dataclass(frozen=True)
class VmTime:
    """A VM that a job had: `seconds` from the moment it ran to its confirmed deletion."""

    attempt: int
    name: str
    zone: str
    machine_type: str
    model: str  # Compute Engine's provisioning model
    seconds: float


@dataclass(frozen=True)
class Event:
    """A state change of a job, `seconds` after the run began."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Reused:
    """The earlier green run whose results a job has: its id, and when its proof was written (RFC 3339)."""

    run: str
    proven: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt, or of an earlier run.

    `objects` has the objects that the evidence lists and the bucket has, and `names` their names in the folder.
    """

    verdict: Verdict
    objects: tuple[Listed, ...] = ()
    names: tuple[str, ...] = ()
    facts: JsonObject | None = None
    evidence: Evidence | None = None
    cells: tuple[CellRun, ...] = ()
    reused: Reused | None = None


@dataclass(frozen=True)
class JobResult:
    """The end of one job. `output` is the gs:// address of its published folder, empty if nothing was published.

    `files` are the names in that folder. `python` and `kernel` are what ran on the VM, empty if that is not known.
    """

    job: str
    notebook: str
    parameters: Mapping[str, Any]
    verdict: Verdict
    attempts: int
    seconds: float
    output: str
    name: str
    has_notebook: bool
    inputs: str = ""  # hash of all inputs; empty, as the next ones, if the job did not get that far
    named_inputs: NamedInputs | None = None  # the same inputs by name
    workspace_sha256: str = ""  # hash of its packed files
    image: str = ""  # the exact image of its VM
    packages: tuple[str, ...] = ()  # what was installed beside the image's own
    files: tuple[str, ...] = ()
    cells: tuple[CellRun, ...] = ()
    vms: tuple[VmTime, ...] = ()
    events: tuple[Event, ...] = ()
    python: str = ""
    kernel: str = ""
    reused: Reused | None = None
    result_generation: int = 0  # of the published result.json; 0: nothing was published


@dataclass(frozen=True)
class LeftVm:
    """A VM whose deletion is not confirmed.

    `terminates`: when Compute Engine ends it, in RFC 3339; empty if Compute Engine has not confirmed such a deadline.
    """

    name: str
    zone: str
    terminates: str
    max_run_seconds: int
    delete_command: str


@dataclass(frozen=True)
class RunResult:
    """A run whose jobs are judged: when it began (RFC 3339) and how many seconds it took.

    `summary` and `report`, its gs:// address, are set once summary.json is written, and `page` once index.html is.
    `trouble` is why a run is red although its jobs are green.
    """

    run: str
    jobs: Sequence[JobResult]
    left: Sequence[LeftVm]
    exit_code: ExitCode
    began: str = ""
    seconds: float = 0.0
    summary: Listed | None = None
    report: str = ""
    page: str = ""
    trouble: str = ""

    @property
    def green(self) -> bool:
        """True if every job is green, even if a VM may be left."""
        return self.exit_code in {ExitCode.GREEN, ExitCode.CLEANUP_UNCONFIRMED}

    @property
    def color(self) -> str:
        """`green` or `red`, as stored documents have it."""
        return "green" if self.green else "red"


@dataclass(frozen=True)
class Duplicate:
    """A run that did nothing, since another run has its event.

    `run` is that run, `verdict` its verdict or empty while it runs, `event` the address of the lock object.
    """

    run: str
    verdict: str
    event: str

    @property
    def red(self) -> bool:
        """True if the other run ended red."""
        return self.verdict == "red"

    @property
    def exit_code(self) -> ExitCode:
        """The other run's color as an exit code; green while it runs."""
        return ExitCode.NOTEBOOK_FAILED if self.red else ExitCode.GREEN


@dataclass(frozen=True)
class Abandoned:
    """The VMs of a run that was cancelled or stopped itself. Compute Engine has accepted the deletion of `deleting`.

    `left` has the others. `error` is the reason if the run stopped itself, None after a signal.
    """

    exit_code: int
    deleting: Sequence[LeftVm]
    left: Sequence[LeftVm]
    error: BuilderError | None


def unjudged(job: JobPlan, verdict: Verdict, attempts: int = 0) -> JobResult:
    """Return the result of a job that ended without a verdict on its last attempt, or without an attempt."""
    return JobResult(
        job=job.job,
        notebook=job.notebook.path,
        parameters=job.parameters,
        verdict=verdict,
        attempts=attempts,
        seconds=0.0,
        output="",
        name=job.name,
        has_notebook=False,
    )


def color(verdict: Verdict) -> str:
    """`green` or `red`, as stored documents have it."""
    return "green" if verdict.green else "red"


def left_vm(vm: Vm, project: str) -> LeftVm:
    """Return the VM in its current state."""
    return LeftVm(
        name=vm.name,
        zone=vm.zone,
        terminates=vm.state.terminates if vm.state.ending is Ending.DEADLINE else "",
        max_run_seconds=vm.max_run_seconds,
        delete_command=vm.delete_command(project),
    )


def exit_code(jobs: Sequence[JobResult], left: Sequence[LeftVm]) -> ExitCode:
    """The run's exit code. A left VM matters only if Compute Engine has not confirmed when it ends."""
    if not jobs:
        raise ValueError("a run without results has no verdict")
    gravest = max((job.verdict.exit_code for job in jobs), key=gravity)
    if gravest is not ExitCode.GREEN:
        return gravest
    unconfirmed = any(not vm.terminates for vm in left)
    return ExitCode.CLEANUP_UNCONFIRMED if unconfirmed else ExitCode.GREEN
