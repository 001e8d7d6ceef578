"""Rows about quotas: what the plan's VMs take at its concurrency, against what is left. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder.check import answers as ask
from builder.check import gcloud
from builder.check.answers import Answers
from builder.check.demand import Demand, Size, regional, size_of, worldwide
from builder.check.places import Fact
from builder.check.questions import regions_of, zones_of
from builder.check.refusal import refused
from builder.check.row import Row, State, fail, ok, unknown
from builder.errors import ExitCode
from builder.model import region_of
from builder.plan.make import JobPlan, Plan
from builder.ports import CallFailed, Quotas, Region

_WHAT = "quota"


@dataclass(frozen=True)
class _Taken:
    """What the jobs want of one metric in one region ("" for all): by job, and how many VMs run at a time."""

    region: str
    demand: Demand
    by_job: Mapping[str, float]
    at_once: int

    @property
    def needed(self) -> float:
        """The most that can be in use at a time: the largest VMs, as many as run together."""
        return sum(sorted(self.by_job.values(), reverse=True)[: self.at_once])


def quota_facts(plan: Plan, project: str, answers: Answers) -> Iterator[Fact]:
    """A row for each metric and region, then for the global ones."""
    sizes = {job.job: size_of(job, answers) for job in plan.jobs}
    taken = list(_regional(plan, sizes, answers))
    for item in taken:
        yield from _regional_facts(item, taken, plan, project, answers)
    everywhere = answers.of(Quotas, ask.QUOTAS)
    if isinstance(everywhere, CallFailed):
        yield Fact(refused(_WHAT, "all regions", everywhere, project))
        return
    for item in _grouped("", ((job, worldwide(sizes[job.job])) for job in plan.jobs), plan.concurrency):
        yield Fact(_global_row(item, everywhere, project))


def _regional(plan: Plan, sizes: Mapping[str, Size], answers: Answers) -> Iterator[_Taken]:
    regions = dict.fromkeys(region for job in plan.jobs for region in regions_of(job))
    for region in regions:
        found = answers.value(Region, ask.REGION, region)
        if found is not None:
            jobs = [job for job in plan.jobs if region in regions_of(job)]
            wanted = [(job, regional(job, sizes[job.job], found.quotas)) for job in jobs]
            yield from _grouped(region, wanted, plan.concurrency)


def _grouped(
    region: str, wanted: Iterable[tuple[JobPlan, Sequence[Demand]]], at_once: int
) -> Iterator[_Taken]:
    by_metric: dict[str, dict[str, Demand]] = defaultdict(dict)
    for job, demands in wanted:
        for demand in demands:
            known = by_metric[demand.metric].get(job.job)
            if known is None or known.optional:
                by_metric[demand.metric][job.job] = demand
    for metric, by_job in by_metric.items():
        demands = list(by_job.values())
        merged = Demand(metric, 0, next((d.instead for d in demands), ""), all(d.optional for d in demands))
        yield _Taken(region, merged, {job: d.amount for job, d in by_job.items()}, at_once)


def _regional_facts(
    item: _Taken, every: Sequence[_Taken], plan: Plan, project: str, answers: Answers
) -> Iterator[Fact]:
    found = answers.of(Region, ask.REGION, item.region)
    if isinstance(found, CallFailed):
        return
    metric, where = item.demand.metric, f"{item.region} {item.demand.metric}"
    if metric not in found.quotas.by_metric:
        mend = f'gcloud compute regions describe {item.region} --format="yaml(quotas)"'
        yield Fact(unknown(_WHAT, where, "Compute Engine does not tell of this quota", mend))
        return
    left = _left(item, found.quotas)
    told = _told(item, found.quotas)
    if item.needed <= left:
        yield Fact(ok(_WHAT, where, told))
        return
    quota = found.quotas.by_metric[metric]
    row = fail(
        _WHAT,
        where,
        told,
        gcloud.quota(project, metric, item.region, quota.usage + item.needed),
        ExitCode.NO_CAPACITY,
    )
    if item.demand.optional:
        yield Fact(Row(_WHAT, where, State.NO, f"{told}; standard VMs follow", row.fix))
        return
    shut = frozenset(job for job, amount in item.by_job.items() if amount > left)
    zones = {
        zone
        for job in plan.jobs
        if job.job in item.by_job
        for zone in zones_of(job, answers)
        if region_of(zone) == item.region
    }
    if shut:
        yield Fact(row, frozenset(zones), shut)
    elif _elsewhere(item, every, answers) >= item.needed:
        yield Fact(Row(_WHAT, where, State.NO, f"{told}; other regions have the rest", row.fix))
    else:
        yield Fact(row)


def _left(item: _Taken, quotas: Quotas) -> float:
    metrics = (item.demand.metric, item.demand.instead)
    return max((quotas.by_metric[name].left for name in metrics if name in quotas.by_metric), default=0.0)


def _elsewhere(item: _Taken, every: Sequence[_Taken], answers: Answers) -> float:
    """What all regions together have left of the metric, as far as the same jobs may go there."""
    total = 0.0
    for other in every:
        region = answers.value(Region, ask.REGION, other.region)
        same = other.demand.metric == item.demand.metric and other.by_job.keys() >= item.by_job.keys()
        total += _left(other, region.quotas) if same and region is not None else 0.0
    return total


def _told(item: _Taken, quotas: Quotas) -> str:
    quota = quotas.by_metric[item.demand.metric]
    count = min(item.at_once, len(item.by_job))
    vms = f"{count} VMs at a time need" if count > 1 else "the VM needs"
    return f"limit {quota.limit:g}, in use {quota.usage:g}; {vms} {item.needed:g}"


def _global_row(item: _Taken, quotas: Quotas, project: str) -> Row:
    metric, where = item.demand.metric, f"all regions {item.demand.metric}"
    quota = quotas.by_metric.get(metric)
    if quota is None:
        mend = f'gcloud compute project-info describe --project={project} --format="yaml(quotas)"'
        return unknown(_WHAT, where, "Compute Engine does not tell of this quota", mend)
    told = _told(item, quotas)
    if item.needed <= quota.left:
        return ok(_WHAT, where, told)
    mend = gcloud.quota(project, metric, "", quota.usage + item.needed)
    return fail(_WHAT, where, f"{told}; no zone can help", mend, ExitCode.NO_CAPACITY)
