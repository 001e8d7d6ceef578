"""What a job's VM takes from Compute Engine's quotas, by metric. Pure; docs/facts.md 1.5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.check import answers as ask
from builder.check.answers import Answers
from builder.check.questions import image_question, zones_of
from builder.plan.make import JobPlan
from builder.plan.vm_spec import SPOT, disk_type, models_to_try
from builder.ports import Image, MachineType, Quotas

# Series whose vCPUs count as CPUS; the others have a metric of their own, as far as Compute Engine tells of one.
_COMMON_CPUS = frozenset({"e2", "n1", "g2", "f1", "g1", "custom"})
# Up to so long, a VM with a GPU that is deleted at its deadline may take the preemptible quota too.
_SHORT_RUN = 7 * 24 * 3600


@dataclass(frozen=True)
class Demand:
    """So much of one metric for one VM. `instead`: a metric that will do as well. `optional`: standard VMs follow."""

    metric: str
    amount: float
    instead: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Size:
    """What a job's VM consists of, as far as zones and image have told."""

    cpus: int
    gpus: int
    gpu: str  # accelerator type, "" for none
    disk_gb: int


def size_of(job: JobPlan, answers: Answers) -> Size:
    """The VM's size, by the first zone that knows its machine type."""
    known = (
        answers.value(MachineType, ask.MACHINE_TYPE, zone, job.vm.machine_type)
        for zone in zones_of(job, answers)
    )
    machine = next((found for found in known if found is not None), None)
    question = image_question(job.image)
    image = answers.value(Image, question.call, *question.about)
    gpus = dict(machine.gpus) if machine else {}
    if job.vm.accelerator is not None:
        gpus = {job.vm.accelerator.type: job.vm.accelerator.count}
    name, count = next(iter(gpus.items()), ("", 0))
    return Size(
        cpus=machine.cpus if machine else 0,
        gpus=count,
        gpu=name,
        disk_gb=max(job.vm.boot_disk_gb, image.disk_gb if image else 0),
    )


def regional(job: JobPlan, size: Size, quotas: Quotas) -> list[Demand]:
    """What the job's VM takes in a region with these quotas; a metric that the region does not tell of is in it too."""
    return [demand for demand in dict.fromkeys(_regional(job, size, quotas)) if demand.amount]


def worldwide(size: Size) -> list[Demand]:
    """What it takes of the project's global quotas."""
    found = [Demand("CPUS_ALL_REGIONS", size.cpus), Demand("GPUS_ALL_REGIONS", size.gpus)]
    return [demand for demand in found if demand.amount]


def _regional(job: JobPlan, size: Size, quotas: Quotas) -> Iterator[Demand]:
    models = models_to_try(job.provisioning, 1, job.max_attempts)
    for model in models:
        optional = model == SPOT and len(models) > 1
        spot = model == SPOT
        cpus = _cpu_metric(job.vm.family)
        yield Demand(_spot_metric(cpus, quotas) if spot else cpus, size.cpus, "", optional)
        if size.gpu:
            gpus = gpu_metric(size.gpu)
            instead = "" if spot or job.limits.vm > _SHORT_RUN else f"PREEMPTIBLE_{gpus}"
            yield Demand(_spot_metric(gpus, quotas) if spot else gpus, size.gpus, instead, optional)
    yield Demand("INSTANCES", 1)
    yield Demand(_disk_metric(disk_type(job.vm), quotas), size.disk_gb)
    if job.vm.external_ip:
        yield Demand("IN_USE_ADDRESSES", 1)


def _disk_metric(disk: str, quotas: Quotas) -> str:
    if disk == "pd-standard":
        return "DISKS_TOTAL_GB"
    own = "HDB_TOTAL_GB"
    return own if disk.startswith("hyperdisk") and own in quotas.by_metric else "SSD_TOTAL_GB"


def _cpu_metric(family: str) -> str:
    return "CPUS" if family in _COMMON_CPUS else f"{family.upper()}_CPUS"


def gpu_metric(accelerator: str) -> str:
    """`NVIDIA_T4_GPUS` of nvidia-tesla-t4."""
    model = accelerator.removeprefix("nvidia-").removeprefix("tesla-")
    return f"NVIDIA_{model.replace('-', '_').upper()}_GPUS"


def _spot_metric(metric: str, quotas: Quotas) -> str:
    """Spot VMs may use nothing but the preemptible quota once there is any (docs/spot-and-gpus.md)."""
    own = "PREEMPTIBLE_CPUS" if metric.endswith("CPUS") else f"PREEMPTIBLE_{metric}"
    granted = quotas.by_metric.get(own)
    return own if granted is not None and granted.limit > 0 else metric
