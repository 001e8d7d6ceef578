"""Rows about quotas: what the plan's VMs use at its concurrency, and what is left. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder import gcloud
from builder.check.answers import Answers, known, regions_of
from builder.check.demand import Demand, Size, regional, size_of, worldwide
from builder.check.refusal import refused
from builder.check.row import Row, State, fail, ok, unknown
from builder.check.zones import Fact
from builder.check_ports import Quotas
from builder.errors import ExitCode
from builder.model import region_of
from builder.plan.build_plan import JobPlan, Plan
from builder.ports import CallFailed

_WHAT = "quota"


@dataclass(frozen=True)
class _Taken:
    """The jobs' use of one metric in one region ("" for all): by job, and the number of VMs that run at a time."""

    region: str
    demand: Demand
    by_job: Mapping[str, float]
    together: int

    @property
    def needed(self) -> float:
        """The largest amount in use at a time: that of the largest VMs, as many as run together."""
        return sum(sorted(self.by_job.values(), reverse=True)[: self.together])


def quota_facts(plan: Plan, project: str, answers: Answers) -> Iterator[Fact]:
    """A row for each metric and region, then one for each global metric."""
    sizes = {job.job: size_of(job, answers) for job in plan.jobs}
    taken = list(_regional(plan, sizes, answers))
    for item in taken:
        yield from _regional_facts(item, taken, plan, project, answers)
    everywhere = answers.quotas
    if isinstance(everywhere, CallFailed):
        yield Fact(refused(_WHAT, "all regions", everywhere, project))
        return
    for item in _grouped("", ((job, worldwide(sizes[job.job])) for job in plan.jobs), plan.concurrency):
        yield Fact(_global_row(item, everywhere, project))


def _regional(plan: Plan, sizes: Mapping[str, Size], answers: Answers) -> Iterator[_Taken]:
    regions = dict.fromkeys(region for job in plan.jobs for region in regions_of(job))
    for region in regions:
        found = known(answers.regions[region])
        if found is not None:
            jobs = [job for job in plan.jobs if region in regions_of(job)]
            wanted = [(job, regional(job, sizes[job.job], found.quotas)) for job in jobs]
            yield from _grouped(region, wanted, plan.concurrency)


def _grouped(
    region: str, wanted: Iterable[tuple[JobPlan, Sequence[Demand]]], together: int
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
        yield _Taken(region, merged, {job: d.amount for job, d in by_job.items()}, together)


def _regional_facts(
    item: _Taken, every: Sequence[_Taken], plan: Plan, project: str, answers: Answers
) -> Iterator[Fact]:
    found = answers.regions[item.region]
    if isinstance(found, CallFailed):
        return
    metric, where = item.demand.metric, f"{item.region} {item.demand.metric}"
    if metric not in found.quotas:
        fix = f'gcloud compute regions describe {item.region} --format="yaml(quotas)"'
        yield Fact(unknown(_WHAT, where, "Compute Engine does not list this quota", fix))
        return
    left = _left(item, found.quotas)
    usage = _usage(item, found.quotas)
    if item.needed <= left:
        yield Fact(ok(_WHAT, where, usage))
        return
    quota = found.quotas[metric]
    row = fail(
        _WHAT,
        where,
        usage,
        gcloud.raise_quota(project, metric, item.region, quota.usage + item.needed),
        ExitCode.NO_CAPACITY,
    )
    if item.demand.optional:
        yield Fact(Row(_WHAT, where, State.NO, f"{usage}; standard VMs follow", row.fix))
        return
    shut = frozenset(job for job, amount in item.by_job.items() if amount > left)
    zones = {
        zone
        for job in plan.jobs
        if job.job in item.by_job
        for zone in answers.zones_of(job)
        if region_of(zone) == item.region
    }
    if shut:
        yield Fact(row, frozenset(zones), shut)
    elif _elsewhere(item, every, answers) >= item.needed:
        yield Fact(Row(_WHAT, where, State.NO, f"{usage}; other regions have the rest", row.fix))
    else:
        yield Fact(row)


def _left(item: _Taken, quotas: Quotas) -> float:
    metrics = (item.demand.metric, item.demand.instead)
    return max((quotas[name].left for name in metrics if name in quotas), default=0.0)


def _elsewhere(item: _Taken, every: Sequence[_Taken], answers: Answers) -> float:
    """Return the total that is left of the metric in all regions that the same jobs may use."""
    total = 0.0
    for other in every:
        region = known(answers.regions[other.region])
        same = other.demand.metric == item.demand.metric and other.by_job.keys() >= item.by_job.keys()
        total += _left(other, region.quotas) if same and region is not None else 0.0
    return total


def _usage(item: _Taken, quotas: Quotas) -> str:
    quota = quotas[item.demand.metric]
    count = min(item.together, len(item.by_job))
    vms = f"{count} VMs at a time need" if count > 1 else "the VM needs"
    return f"limit {quota.limit:g}, in use {quota.usage:g}; {vms} {item.needed:g}"


def _global_row(item: _Taken, quotas: Quotas, project: str) -> Row:
    metric, where = item.demand.metric, f"all regions {item.demand.metric}"
    quota = quotas.get(metric)
    if quota is None:
        fix = f'gcloud compute project-info describe --project={project} --format="yaml(quotas)"'
        return unknown(_WHAT, where, "Compute Engine does not list this quota", fix)
    usage = _usage(item, quotas)
    if item.needed <= quota.left:
        return ok(_WHAT, where, usage)
    fix = gcloud.raise_quota(project, metric, "", quota.usage + item.needed)
    return fail(_WHAT, where, f"{usage}; no zone can help", fix, ExitCode.NO_CAPACITY)
