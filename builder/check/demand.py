"""Computes a VM's use of Compute Engine's quotas, by metric (docs/facts.md 1.5). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.check.answers import Answers, known
from builder.check_ports import Quotas
from builder.plan.build_plan import JobPlan
from builder.plan.quota_metrics import cpu_metric, gpu_metric
from builder.plan.vm_spec import SPOT, models_to_try

# Seconds. A VM with a GPU that is deleted at a deadline no later than this may use the preemptible quota too.
_SHORT_RUN = 7 * 24 * 3600


@dataclass(frozen=True)
class Demand:
    """The use of one metric by one VM.

    `instead`: another metric that the VM can use. `optional`: a Spot VM, after which a standard VM is tried.
    """

    metric: str
    amount: float
    instead: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Size:
    """The resources of a job's VM; 0 for those that are not known."""

    cpus: int
    gpus: int
    gpu: str  # accelerator type, "" for none
    disk_gb: int


def size_of(job: JobPlan, answers: Answers) -> Size:
    """The VM's resources, by the first zone that offers its machine type."""
    found = (known(answers.machine_types[zone, job.options.machine_type]) for zone in answers.zones_of(job))
    machine = next((each for each in found if each is not None), None)
    image = known(answers.images[job.image])
    gpus = dict(machine.gpus) if machine else {}
    if job.options.accelerator is not None:
        gpus = {job.options.accelerator.type: job.options.accelerator.count}
    name, count = next(iter(gpus.items()), ("", 0))
    return Size(
        cpus=machine.cpus if machine else 0,
        gpus=count,
        gpu=name,
        disk_gb=max(job.options.boot_disk_gb, image.disk_gb if image else 0),
    )


def regional(job: JobPlan, size: Size, quotas: Quotas) -> list[Demand]:
    """Return the use of a region's quotas by the job's VM, including metrics that `quotas` does not have."""
    return [demand for demand in dict.fromkeys(_regional(job, size, quotas)) if demand.amount]


def worldwide(size: Size) -> list[Demand]:
    """Return the VM's use of the project's global quotas."""
    found = [Demand("CPUS_ALL_REGIONS", size.cpus), Demand("GPUS_ALL_REGIONS", size.gpus)]
    return [demand for demand in found if demand.amount]


def _regional(job: JobPlan, size: Size, quotas: Quotas) -> Iterator[Demand]:
    models = models_to_try(job.options.provisioning, 1, job.options.max_attempts)
    for model in models:
        optional = model == SPOT and len(models) > 1
        spot = model == SPOT
        cpus = cpu_metric(job.options.series)
        yield Demand(_spot_metric(cpus, quotas) if spot else cpus, size.cpus, "", optional)
        if size.gpu:
            gpus = gpu_metric(size.gpu)
            instead = "" if spot or job.limits.vm > _SHORT_RUN else f"PREEMPTIBLE_{gpus}"
            yield Demand(_spot_metric(gpus, quotas) if spot else gpus, size.gpus, instead, optional)
    yield Demand("INSTANCES", 1)
    yield Demand(_disk_metric(job.options.disk_type, quotas), size.disk_gb)
    if job.options.external_ip:
        yield Demand("IN_USE_ADDRESSES", 1)


def _disk_metric(disk: str, quotas: Quotas) -> str:
    if disk == "pd-standard":
        return "DISKS_TOTAL_GB"
    own = "HDB_TOTAL_GB"
    return own if disk.startswith("hyperdisk") and own in quotas else "SSD_TOTAL_GB"


def _spot_metric(metric: str, quotas: Quotas) -> str:
    """The metric that Spot VMs use: the preemptible quota alone if the project has one (docs/spot-and-gpus.md)."""
    own = "PREEMPTIBLE_CPUS" if metric.endswith("CPUS") else f"PREEMPTIBLE_{metric}"
    granted = quotas.get(own)
    return own if granted is not None and granted.limit > 0 else metric
