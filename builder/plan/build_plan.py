"""Builds the plan of a run from options and notebooks: a value that describes the whole run. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import GcsLocation, JsonObject, Notebook, is_zone
from builder.options import JobOptions, Options
from builder.options.parameters import fan_out
from builder.plan.event import RunRequest, can_be_latest, day_folder, given_parameters
from builder.plan.packing import StagedFile
from builder.plan.preparation import Preparation
from builder.plan.slugs import job_slugs
from builder.plan.vm_spec import Attempt, Limits, insert_body, models_to_try, vm_labels
from builder.ports import Image

# Seconds of one attempt beside its VM's own time, in the worst case. When the budget is spent, no further zone is
# tried; the last zone may take 300 s, and its clean-up as long again.
PLACING_BUDGET = 600
PLACING_ALLOWANCE = PLACING_BUDGET + 600
TEARDOWN_ALLOWANCE = 300
# Seconds of an attempt beside its notebook's steps, usually and at least. The VM's start takes most of them.
USUAL_START_AND_END = 180
MIN_START_AND_END = 10
MAX_BUILD_SECONDS = 24 * 3600  # seconds; Cloud Build's longest timeout of a build


@dataclass(frozen=True)
class ImageChoice:
    """The image that a job asks for: an exact one by name, or the newest of a family."""

    project: str
    family: str | None
    name: str | None

    def __str__(self) -> str:
        return f"family:{self.project}/{self.family}" if self.name is None else self.path

    @property
    def path(self) -> str:
        """The path of the exact image."""
        return f"projects/{self.project}/global/images/{self.name}"


@dataclass(frozen=True)
class ChosenNotebook:
    """A notebook to run, with its options and its staged files."""

    notebook: Notebook
    options: JobOptions
    files: tuple[StagedFile, ...]
    preparation: Preparation = field(default_factory=Preparation)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProvenBytes:
    """Hashes of the kit and the workspace that a deployed job was tested with. It runs with the same or not at all."""

    kit_sha256: str
    workspace_sha256: str


@dataclass(frozen=True)
class JobPlan:
    """One notebook with one set of parameters on one VM.

    `parameters` are this job's; those in `options` may have a matrix. `frozen` names each package (name==version) that
    a deployed job's proof installed.
    """

    job: str
    notebook: Notebook
    options: JobOptions
    parameters: Mapping[str, Any]
    files: tuple[StagedFile, ...]
    preparation: Preparation = field(default_factory=Preparation)
    frozen: tuple[str, ...] = ()
    proven: ProvenBytes | None = None

    @property
    def name(self) -> str:
        """The notebook's name without folder and suffix, after which its outputs are named."""
        return PurePosixPath(self.notebook.path).stem

    @property
    def image(self) -> ImageChoice:
        """The image that the job asks for."""
        return ImageChoice(self.options.image_project, self.options.image_family, self.options.image)

    @property
    def limits(self) -> Limits:
        """The job's time limits."""
        return Limits(
            boot=self.options.boot_timeout,
            notebook=self.options.timeout,
            setup=self.options.setup_timeout if self.options.setup else 0,
            requirements=self.options.requirements_timeout if self.options.requirements else 0,
        )

    @property
    def worst_case_seconds(self) -> int:
        """The job's duration if every attempt fails as late as possible."""
        return self.options.max_attempts * (PLACING_ALLOWANCE + self.limits.vm + TEARDOWN_ALLOWANCE)

    @property
    def expected_seconds(self) -> int:
        """The job's longest duration if its first attempt reaches its end."""
        limits = self.limits
        return USUAL_START_AND_END + limits.setup + limits.requirements + limits.notebook


@dataclass(frozen=True)
class Plan:
    """Everything that a run does.

    `output` is the folder of the jobs' folders below the location: that of the event's day, else NB_OUTPUT, in
    which `<run>` means the run's id. `today` is the day that the run is for; `scheduled` is true if an event
    asked for it, and `latest` if versions/latest/ may name its green results. `reuse_seconds` is the age up to which a
    green result is reused; None: never. `modules` has the path of each Python module that git tracks, by its name.
    """

    location: GcsLocation
    jobs: tuple[JobPlan, ...]
    concurrency: int
    fail_fast: bool
    reuse_seconds: int | None
    output: str
    today: date
    scheduled: bool
    latest: bool = False
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def worst_case_seconds(self) -> int:
        """The run's longest duration, which a build's own `timeout` must exceed."""
        return self._on_tracks([job.worst_case_seconds for job in self.jobs])

    @property
    def vm_seconds(self) -> int:
        """The time of VMs, all jobs together, if every attempt's VM lives until its deadline."""
        return sum(job.options.max_attempts * job.limits.vm for job in self.jobs)

    @property
    def expected_seconds(self) -> int:
        """The run's longest duration if no attempt is repeated."""
        return self._on_tracks([job.expected_seconds for job in self.jobs])

    @property
    def least_seconds(self) -> int:
        """The run's shortest duration: only the time that the VMs take to start."""
        return self._on_tracks([MIN_START_AND_END for _ in self.jobs])

    def _on_tracks(self, seconds: Sequence[int]) -> int:
        """Return the time at which the last of jobs with these durations ends, `concurrency` at a time."""
        tracks = [0] * max(1, min(self.concurrency, len(seconds)))
        for job in seconds:
            heapq.heapreplace(tracks, tracks[0] + job)
        return max(tracks)

    @property
    def exceeds_longest_build(self) -> bool:
        """True if the worst case exceeds the longest build. Only a warning, since most runs end much earlier."""
        return self.worst_case_seconds > MAX_BUILD_SECONDS

    def output_prefix(self, run: str, job: str) -> str:
        """Return the name prefix of the job's published folder, with its slash."""
        return self.location.object(self.output.replace("<run>", run), job) + "/"


def build_plan(options: Options, chosen: Sequence[ChosenNotebook], request: RunRequest) -> Plan:
    """Return the plan for these valid notebooks. Raises BadInput if it can ask for more than NB_MAX_VM_HOURS."""
    tasks = [
        (item, point)
        for item in chosen
        for point in fan_out(given_parameters(item.options, item.notebook, request))
    ]
    slugs = job_slugs([item.notebook.path for item, _ in tasks], [point.chosen for _, point in tasks])
    jobs = tuple(
        JobPlan(slug, item.notebook, item.options, point.parameters, item.files, item.preparation)
        for slug, (item, point) in zip(slugs, tasks, strict=True)
    )
    plan = Plan(
        location=options.gcs_location,
        jobs=jobs,
        concurrency=options.concurrency,
        fail_fast=options.fail_fast,
        reuse_seconds=options.reuse_green if request.message is None else None,
        output=options.output if request.message is None else day_folder(request),
        today=request.today,
        scheduled=request.message is not None,
        latest=can_be_latest(request),
    )
    if options.max_vm_hours is not None and plan.vm_seconds > options.max_vm_hours * 3600:
        raise BadInput((_too_many_hours(plan, options.max_vm_hours),))
    return plan


def _too_many_hours(plan: Plan, most: int) -> Problem:
    asked = f"this run can ask for {plan.vm_seconds / 3600:.1f} hours of VMs"
    return Problem(
        "NB_MAX_VM_HOURS",
        str(most),
        f"{asked}: a VM for each attempt of {len(plan.jobs)} jobs. Lower NB_TIMEOUT, NB_MAX_ATTEMPTS, or the number of "
        "notebooks and points of a matrix",
    )


def describe(plan: Plan, *, project: str, run: str) -> JsonObject:
    """Return the plan as `plan --format json` prints it. Names that require a call stay symbolic."""
    return {
        "schema": 1,
        "run": run,
        "project": project,
        "location": plan.location.url(),
        "today": plan.today.isoformat(),
        "scheduled": plan.scheduled,
        "concurrency": plan.concurrency,
        "fail_fast": plan.fail_fast,
        "reuse_seconds": plan.reuse_seconds,
        "expected_seconds": plan.expected_seconds,
        "worst_case_seconds": plan.worst_case_seconds,
        "vm_seconds": plan.vm_seconds,
        "exceeds_longest_build": plan.exceeds_longest_build,
        "jobs": [_describe_job(plan, job, project=project, run=run) for job in plan.jobs],
    }


def _symbolic(place: str) -> str:
    """Return a zone's name, or the symbolic name of a region, whose zones require a call."""
    return place if is_zone(place) else f"region:{place}"


def _describe_job(plan: Plan, job: JobPlan, *, project: str, run: str) -> JsonObject:
    options, preparation = job.options, job.preparation
    attempt = Attempt(run=run, job=job.job, number=1, nonce="<nonce>")
    zone = _symbolic(options.zones[0])
    image = Image(path=str(job.image), family=job.image.family or "", disk_gb=0, deprecated=False, uefi=True)
    body = insert_body(
        options,
        project=project,
        zone=zone,
        name=f"nb-<{job.job}>-a1t1",
        image=image,
        limits=job.limits,
        labels={**vm_labels(attempt, options, 0), "nb-deadline": "<insert + maxRunDuration>"},
        startup_script="<constant>",
        job_metadata={"run": run, "job_id": job.job},
        model=models_to_try(options.provisioning, 1, options.max_attempts)[0],
    )
    return {
        "job": job.job,
        "notebook": job.notebook.path,
        "parameters": dict(job.parameters),
        "secrets": dict(options.secrets),
        "expect": [f"{item.glob}>={item.minimum_bytes}B" for item in options.expect],
        "fail_on": list(options.fail_on or ()),
        "kernel": job.notebook.kernel,
        "env": sorted(options.env),
        "setup": preparation.setup,
        "requirements": preparation.requirements and preparation.requirements.path,
        "index_url": options.index_url,
        "ca_bundle": preparation.ca_bundle,
        "files": [file.path for file in job.files],
        "zones": [_symbolic(name) for name in options.zones],
        "provisioning": options.provisioning,
        "image": str(job.image),
        "timeout": options.timeout,
        "cell_timeout": options.cell_timeout,
        "boot_timeout": options.boot_timeout,
        "setup_timeout": job.limits.setup,
        "requirements_timeout": job.limits.requirements,
        "vm_deadline_seconds": job.limits.vm,
        "max_attempts": options.max_attempts,
        "output": f"gs://{plan.location.bucket}/{plan.output_prefix(run, job.job)}",
        "instance": body,
    }
