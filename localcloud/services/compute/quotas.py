"""Quotas: the usage by instances and disks, and the failure of an insert that would exceed a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.services.compute import catalog
from localcloud.services.compute.state import Disk, Vm
from localcloud.services.compute.state_operations import Failure
from localcloud.services.compute.wanted import Wanted

Json = dict[str, Any]
_GPU_GLOBAL = "GPUS_ALL_REGIONS"
# Up to this limit, a GPU instance that deletes itself may take the preemptible quota too (docs/facts.md 1.5).
_SHORT_RUN = 7 * 24 * 3600


class Quotas:
    """The limits of one project. Usage is counted from the existing resources at each call."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = {
            **catalog.QUOTA_LIMITS,
            **catalog.UNLISTED_QUOTA_LIMITS,
            **catalog.GLOBAL_QUOTA_LIMITS,
            **limits,
        }

    def excess(self, wanted: Wanted, vms: Iterable[Vm], disks: Iterable[Disk]) -> Failure | None:
        """Return the failure of an insert that exceeds a quota; None if all suffice."""
        vms, disks = list(vms), list(disks)
        region = catalog.region_of(wanted.zone)
        regional, everywhere = _used(vms, disks, region), _used(vms, disks, None)
        demand = Counter({wanted.machine.metric: wanted.machine.cpus, "INSTANCES": 1})
        if wanted.interface.external_ip:
            demand["IN_USE_ADDRESSES"] = 1
        for disk in wanted.disks:
            demand[catalog.DISK_TYPES[disk.type].metric] += disk.size_gb
        if wanted.gpus is not None:
            if everywhere[_GPU_GLOBAL] + wanted.gpus.count > self._limits[_GPU_GLOBAL]:
                return self._exceeded(_GPU_GLOBAL, None)
            demand[self.gpu_metric(wanted, vms)] = wanted.gpus.count
        if everywhere["CPUS_ALL_REGIONS"] + wanted.machine.cpus > self._limits["CPUS_ALL_REGIONS"]:
            return self._exceeded("CPUS_ALL_REGIONS", None)
        for metric, amount in demand.items():
            if regional[metric] + amount > self._limits[metric]:
                return self._exceeded(metric, region)
        return None

    def of_region(self, region: str, vms: Iterable[Vm], disks: Iterable[Disk]) -> list[Json]:
        """Return a region's quotas as `regions.get` prints them."""
        used = _used(vms, disks, region)
        return [self._view(metric, used) for metric in catalog.QUOTA_LIMITS]

    def of_project(self, vms: Iterable[Vm], disks: Iterable[Disk]) -> list[Json]:
        """Return the global quotas as `projects.get` prints them."""
        used = _used(vms, disks, None)
        return [self._view(metric, used) for metric in catalog.GLOBAL_QUOTA_LIMITS]

    def _view(self, metric: str, used: Counter[str]) -> Json:
        return {"metric": metric, "limit": float(self._limits[metric]), "usage": float(used[metric])}

    def gpu_metric(self, wanted: Wanted, vms: Iterable[Vm]) -> str:
        """Return the metric that an insert's GPUs count under; "" without GPUs."""
        gpus = wanted.gpus
        if gpus is None:
            return ""
        used = _used(vms, (), catalog.region_of(wanted.zone))
        spare = f"PREEMPTIBLE_{gpus.metric}"
        if wanted.schedule.spot:
            return spare if self._limits[spare] > 0 else gpus.metric
        short = wanted.schedule.deletes and (wanted.schedule.max_run or _SHORT_RUN + 1) <= _SHORT_RUN
        full = used[gpus.metric] + gpus.count > self._limits[gpus.metric]
        return spare if short and full and used[spare] + gpus.count <= self._limits[spare] else gpus.metric

    def _exceeded(self, metric: str, region: str | None) -> Failure:
        limit = float(self._limits[metric])
        where = f"in region {region}" if region else "globally"
        quota = {
            "metricName": f"compute.googleapis.com/{metric.lower()}",
            "limitName": f"{metric.replace('_', '-')}-per-project{'-region' if region else ''}",
            "dimensions": {"region": region} if region else {"global": "global"},
            "limit": limit,
        }
        message = f"Quota '{metric}' exceeded.  Limit: {limit} {where}."
        return Failure("QUOTA_EXCEEDED", message, 403, "FORBIDDEN", ({"quotaInfo": quota},))


def _used(vms: Iterable[Vm], disks: Iterable[Disk], region: str | None) -> Counter[str]:
    """Return the usage in a region, or everywhere. A stopped instance uses no CPUs, GPUs and address."""
    used: Counter[str] = Counter()
    for vm in vms:
        wanted = vm.wanted
        if vm.doomed or (region is not None and catalog.region_of(wanted.zone) != region):
            continue
        used["INSTANCES"] += 1
        if vm.status == "TERMINATED":
            continue
        used[wanted.machine.metric] += wanted.machine.cpus
        used["CPUS_ALL_REGIONS"] += wanted.machine.cpus
        used["IN_USE_ADDRESSES"] += wanted.interface.external_ip
        if wanted.gpus is not None:
            used[vm.gpu_metric] += wanted.gpus.count
            used[_GPU_GLOBAL] += wanted.gpus.count
    for disk in disks:
        if region is None or catalog.region_of(disk.zone) == region:
            used[catalog.DISK_TYPES[disk.type].metric] += disk.size_gb
    return used
