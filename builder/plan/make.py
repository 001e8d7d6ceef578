"""Options and notebooks become a plan: a value that says everything a run will do. Pure, and printable."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from builder.model import Expectation, GcsLocation, JsonObject, Notebook, is_zone
from builder.options import JobOptions, Options
from builder.options.parameters import fan_out
from builder.plan.event import Asked, given_parameters
from builder.plan.preparation import Preparation
from builder.plan.slugs import job_slugs
from builder.plan.vm_spec import Attempt, Limits, VmSpec, insert_body, models_to_try, vm_labels
from builder.plan.workspace import StagedFile
from builder.ports import Image

# Seconds of one attempt beside its VM's own time, in the worst case; part of what `plan` prints. After the budget no
# further zone is asked; the last one asked may take its 300 s, and as long again to be cleaned up.
PLACING_BUDGET = 600
PLACING_ALLOWANCE = PLACING_BUDGET + 600
TEARDOWN_ALLOWANCE = 300
LONGEST_BUILD = 24 * 3600  # seconds; the longest timeout that Cloud Build gives a build


@dataclass(frozen=True)
class ImageChoice:
    """Which image a job wants: an exact one by name, or the newest of a family."""

    project: str
    family: str | None
    name: str | None

    def __str__(self) -> str:
        return f"family:{self.project}/{self.family}" if self.name is None else self.path

    @property
    def path(self) -> str:
        """The exact image's path, where it is named."""
        name = self.name or ""
        return name if "/" in name else f"projects/{self.project}/global/images/{name}"


@dataclass(frozen=True)
class ChosenNotebook:
    """A notebook to run, with its options and the files that are staged with it."""

    notebook: Notebook
    options: JobOptions
    files: tuple[StagedFile, ...]
    preparation: Preparation = field(default_factory=Preparation)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProvenBytes:
    """What a deployed job was tested with, as hashes: it runs with the same or not at all."""

    kit_sha256: str
    workspace_sha256: str


@dataclass(frozen=True)
class JobPlan:
    """One notebook with one set of parameters on one VM. `zones` holds zone and region names, in order."""

    job: str
    notebook: Notebook
    files: tuple[StagedFile, ...]
    parameters: Mapping[str, Any]
    secrets: Mapping[str, str]
    expect: tuple[Expectation, ...]
    kernel: str
    zones: tuple[str, ...]
    image: ImageChoice
    vm: VmSpec
    limits: Limits
    max_attempts: int
    provisioning: str
    preparation: Preparation = field(default_factory=Preparation)
    env: Mapping[str, str] = field(default_factory=dict)
    index_url: str | None = None
    frozen: tuple[str, ...] = ()  # name==version of each package that a deployed job's proof installed
    proven: ProvenBytes | None = None

    @property
    def name(self) -> str:
        """The notebook's own name, without folder and ending; its outputs are named after it."""
        return PurePosixPath(self.notebook.path).stem

    @property
    def worst_case_seconds(self) -> int:
        """How long the job lasts when every attempt fails as late as it can."""
        return self.max_attempts * (PLACING_ALLOWANCE + self.limits.vm + TEARDOWN_ALLOWANCE)


@dataclass(frozen=True)
class Plan:
    """All that a run will do.

    `output` is where the jobs' folders go, below the location: the day's folder for an event, else what NB_OUTPUT says,
    where `<run>` stands for the run's id.

    `today` is the day that the run is for; `scheduled` says that an event asked for it.
    """

    location: GcsLocation
    jobs: tuple[JobPlan, ...]
    concurrency: int
    fail_fast: bool
    output: str
    today: date
    scheduled: bool

    @property
    def worst_case_seconds(self) -> int:
        """What a build's own `timeout` must exceed: the jobs' worst cases, laid on `concurrency` tracks."""
        tracks = [0] * max(1, min(self.concurrency, len(self.jobs)))
        for job in self.jobs:
            heapq.heapreplace(tracks, tracks[0] + job.worst_case_seconds)
        return max(tracks)

    @property
    def exceeds_longest_build(self) -> bool:
        """True where no build can last as long as the worst case: a warning, since most runs end far earlier."""
        return self.worst_case_seconds > LONGEST_BUILD

    def output_prefix(self, run: str, job: str) -> str:
        """The name prefix of the job's published folder, with its slash."""
        return self.location.object(self.output.replace("<run>", run), job) + "/"


def make_plan(options: Options, chosen: Sequence[ChosenNotebook], asked: Asked) -> Plan:
    """The plan for these notebooks. They were read and found valid before."""
    tasks = [
        (item, point)
        for item in chosen
        for point in fan_out(given_parameters(item.options, item.notebook, asked))
    ]
    slugs = job_slugs([item.notebook.path for item, _ in tasks], [point.chosen for _, point in tasks])
    jobs = tuple(
        _plan_job(slug, item, point.parameters) for slug, (item, point) in zip(slugs, tasks, strict=True)
    )
    return Plan(
        location=options.location,
        jobs=jobs,
        concurrency=options.concurrency,
        fail_fast=options.fail_fast,
        output=options.output if asked.message is None else f"versions/{asked.today.isoformat()}",
        today=asked.today,
        scheduled=asked.message is not None,
    )


def _plan_job(slug: str, item: ChosenNotebook, parameters: Mapping[str, Any]) -> JobPlan:
    wanted = item.options
    return JobPlan(
        job=slug,
        notebook=item.notebook,
        files=item.files,
        parameters=parameters,
        secrets=wanted.secrets,
        expect=wanted.expect,
        kernel=wanted.kernel or item.notebook.kernel,
        zones=wanted.zones,
        image=ImageChoice(project=wanted.image_project, family=wanted.image_family, name=wanted.image),
        vm=VmSpec(
            machine_type=wanted.machine_type,
            accelerator=wanted.accelerator,
            boot_disk_gb=wanted.boot_disk_gb,
            network=wanted.network,
            subnetwork=wanted.subnetwork,
            external_ip=wanted.external_ip,
            service_account=wanted.vm_service_account,
            labels=wanted.labels,
            boot_disk_type=wanted.boot_disk_type,
            secure_boot=wanted.secure_boot,
        ),
        limits=Limits(
            boot=wanted.boot_timeout,
            notebook=wanted.timeout,
            cell=wanted.cell_timeout,
            setup=wanted.setup_timeout if wanted.setup else 0,
            requirements=wanted.requirements_timeout if wanted.requirements else 0,
        ),
        max_attempts=wanted.max_attempts,
        provisioning=wanted.provisioning,
        preparation=item.preparation,
        env=wanted.env,
        index_url=wanted.index_url,
    )


def describe(plan: Plan, *, project: str, run: str) -> JsonObject:
    """The plan as `plan --format json` prints it; what only a call could tell stays symbolic."""
    return {
        "schema": 1,
        "run": run,
        "project": project,
        "location": plan.location.url(),
        "today": plan.today.isoformat(),
        "scheduled": plan.scheduled,
        "concurrency": plan.concurrency,
        "fail_fast": plan.fail_fast,
        "worst_case_seconds": plan.worst_case_seconds,
        "exceeds_longest_build": plan.exceeds_longest_build,
        "jobs": [_describe_job(plan, job, project=project, run=run) for job in plan.jobs],
    }


def _symbolic(place: str) -> str:
    """A zone's name, or the region that only a call can turn into zones."""
    return place if is_zone(place) else f"region:{place}"


def _describe_job(plan: Plan, job: JobPlan, *, project: str, run: str) -> JsonObject:
    attempt = Attempt(run=run, job=job.job, number=1, nonce="<nonce>")
    zone = _symbolic(job.zones[0])
    image = Image(path=str(job.image), family=job.image.family or "", disk_gb=0, deprecated=False, uefi=True)
    body = insert_body(
        job.vm,
        project=project,
        zone=zone,
        name=f"nb-<{job.job}>-a1t1",
        image=image,
        limits=job.limits,
        labels={**vm_labels(attempt, job.vm, 0), "nb-deadline": "<insert + maxRunDuration>"},
        startup_script="<constant>",
        job_metadata={"run": run, "job_id": job.job},
        model=models_to_try(job.provisioning, 1, job.max_attempts)[0],
    )
    return {
        "job": job.job,
        "notebook": job.notebook.path,
        "parameters": dict(job.parameters),
        "secrets": dict(job.secrets),
        "expect": [f"{item.glob}>={item.minimum_bytes}B" for item in job.expect],
        "kernel": job.kernel,
        "env": sorted(job.env),
        "setup": job.preparation.setup,
        "requirements": job.preparation.requirements and job.preparation.requirements.path,
        "index_url": job.index_url,
        "files": [file.path for file in job.files],
        "zones": [_symbolic(name) for name in job.zones],
        "provisioning": job.provisioning,
        "image": str(job.image),
        "timeout": job.limits.notebook,
        "cell_timeout": job.limits.cell,
        "boot_timeout": job.limits.boot,
        "setup_timeout": job.limits.setup,
        "requirements_timeout": job.limits.requirements,
        "vm_deadline_seconds": job.limits.vm,
        "max_attempts": job.max_attempts,
        "output": f"gs://{plan.location.bucket}/{plan.output_prefix(run, job.job)}",
        "instance": body,
    }
