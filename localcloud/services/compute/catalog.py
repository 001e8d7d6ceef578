"""The catalogue, as data: regions, zones, machine types, accelerators, disk types, networks.

It is a part of Google's catalogue with the cases that matter to a launcher: zones without a GPU,
machine types that a region does not have, attachable GPUs beside built-in ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

REGIONS: Mapping[str, str] = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-west1": "abc",
    "europe-west1": "bcd",
    "europe-west4": "abc",
}
ZONES: tuple[str, ...] = tuple(
    f"{region}-{letter}" for region, letters in REGIONS.items() for letter in letters
)


def region_of(zone: str) -> str:
    """Return the region of a zone."""
    return zone.rsplit("-", 1)[0]


@dataclass(frozen=True)
class Accelerator:
    """A GPU model. `max_cpus` says, per allowed count, how many vCPUs an N1 may have (empty: built in only)."""

    name: str
    description: str
    metric: str
    zones: frozenset[str]
    max_cpus: Mapping[int, int]


@dataclass(frozen=True)
class MachineType:
    """A machine type; `gpu` and `gpu_count` are its built-in GPUs."""

    name: str
    cpus: int
    memory_mb: int
    metric: str = "CPUS"
    gpu: str | None = None
    gpu_count: int = 0

    @property
    def family(self) -> str:
        """The series, the part before the first dash: "e2", "n1", "g2"."""
        return self.name.split("-", 1)[0]


def _zones(**letters: str) -> frozenset[str]:
    return frozenset(f"{region.replace('_', '-')}-{c}" for region, text in letters.items() for c in text)


ACCELERATORS: Mapping[str, Accelerator] = {
    a.name: a
    for a in (
        Accelerator(
            "nvidia-tesla-t4",
            "NVIDIA T4",
            "NVIDIA_T4_GPUS",
            _zones(us_central1="abcf", us_east1="cd", us_west1="ab", europe_west1="bcd", europe_west4="abc"),
            {1: 48, 2: 48, 4: 96},
        ),
        Accelerator(
            "nvidia-tesla-v100",
            "NVIDIA V100",
            "NVIDIA_V100_GPUS",
            _zones(us_central1="abcf", us_east1="c", us_west1="ab", europe_west4="abc"),
            {1: 12, 2: 24, 4: 48, 8: 96},
        ),
        Accelerator(
            "nvidia-tesla-p100",
            "NVIDIA Tesla P100",
            "NVIDIA_P100_GPUS",
            _zones(us_central1="cf", us_east1="bc", us_west1="ab", europe_west1="bd", europe_west4="a"),
            {1: 16, 2: 32, 4: 96},
        ),
        Accelerator(
            "nvidia-l4",
            "NVIDIA L4",
            "NVIDIA_L4_GPUS",
            _zones(us_central1="abc", us_east1="bcd", us_west1="abc", europe_west1="bc", europe_west4="abc"),
            {},
        ),
        Accelerator(
            "nvidia-tesla-a100",
            "NVIDIA A100 40GB",
            "NVIDIA_A100_GPUS",
            _zones(us_central1="abcf", us_east1="b", us_west1="b", europe_west4="ab"),
            {},
        ),
    )
}


def _machine_types() -> Iterator[MachineType]:
    for name, memory in (("micro", 1024), ("small", 2048), ("medium", 4096)):
        yield MachineType(f"e2-{name}", 2, memory)
    for kind, per_cpu, sizes in (
        ("e2-standard", 4096, (2, 4, 8, 16, 32)),
        ("e2-highmem", 8192, (2, 4, 8, 16)),
        ("e2-highcpu", 1024, (2, 4, 8, 16, 32)),
        ("n1-standard", 3840, (1, 2, 4, 8, 16, 32, 64, 96)),
        ("n1-highmem", 6656, (2, 4, 8, 16, 32, 64, 96)),
    ):
        for cpus in sizes:
            yield MachineType(f"{kind}-{cpus}", cpus, per_cpu * cpus)
    for cpus, gpus in ((4, 1), (8, 1), (12, 1), (16, 1), (24, 2), (32, 1), (48, 4), (96, 8)):
        yield MachineType(f"g2-standard-{cpus}", cpus, 4096 * cpus, gpu="nvidia-l4", gpu_count=gpus)
    yield MachineType("a2-highgpu-1g", 12, 87040, "A2_CPUS", "nvidia-tesla-a100", 1)
    yield MachineType("c3-standard-4", 4, 16384, "C3_CPUS")
    for series in ("n4", "n4d"):
        yield MachineType(f"{series}-standard-4", 4, 16384, "CPUS_PER_VM_FAMILY")


MACHINE_TYPES: Mapping[str, MachineType] = {m.name: m for m in _machine_types()}
_C3_ZONES = _zones(us_central1="abc", us_east1="cd", us_west1="ab", europe_west1="bc", europe_west4="abc")


def machine_type(zone: str, name: str) -> MachineType | None:
    """Return a machine type if the zone has it."""
    machine = MACHINE_TYPES.get(name)
    if machine is None or (machine.gpu and zone not in ACCELERATORS[machine.gpu].zones):
        return None
    return None if machine.family == "c3" and zone not in _C3_ZONES else machine


def accelerator(zone: str, name: str) -> Accelerator | None:
    """Return an accelerator type if the zone has it."""
    found = ACCELERATORS.get(name)
    return found if found is not None and zone in found.zones else None


@dataclass(frozen=True)
class DiskType:
    """A disk type, its default size, and the quota that its gigabytes count against."""

    name: str
    default_gb: int
    metric: str


DISK_TYPES: Mapping[str, DiskType] = {
    d.name: d
    for d in (
        DiskType("pd-standard", 500, "DISKS_TOTAL_GB"),
        DiskType("pd-balanced", 100, "SSD_TOTAL_GB"),
        DiskType("pd-ssd", 100, "SSD_TOTAL_GB"),
        DiskType("hyperdisk-balanced", 100, "SSD_TOTAL_GB"),
    )
}
_PERSISTENT = frozenset({"pd-standard", "pd-balanced", "pd-ssd"})
_NO_DISK: Mapping[str, frozenset[str]] = {
    "e2": frozenset({"hyperdisk-balanced"}),
    "n1": frozenset({"hyperdisk-balanced"}),
    "a2": frozenset({"hyperdisk-balanced"}),
    "g2": frozenset({"pd-standard", "hyperdisk-balanced"}),
    "c3": frozenset({"pd-standard"}),
    "n4": _PERSISTENT,
    "n4d": _PERSISTENT,
}


def default_disk_type(machine: MachineType) -> str:
    """Return the default disk type of a boot disk."""
    preferred = ("pd-standard", "pd-balanced", "hyperdisk-balanced")
    return next(name for name in preferred if disk_fits(machine, name))


def disk_fits(machine: MachineType, disk_type: str) -> bool:
    """True if a disk of this type may be attached to this machine type."""
    return disk_type not in _NO_DISK[machine.family]


@dataclass(frozen=True)
class Network:
    """A VPC network: subnetwork name by region, and whether its subnetworks are made automatically."""

    name: str
    auto: bool
    subnetworks: Mapping[str, str]


NETWORKS: Mapping[str, Network] = {
    n.name: n
    for n in (
        Network("default", auto=True, subnetworks=dict.fromkeys(REGIONS, "default")),
        Network(
            "custom",
            auto=False,
            subnetworks={"us-central1": "custom-central", "europe-west4": "custom-west"},
        ),
    )
}


QUOTA_LIMITS: Mapping[str, float] = {
    "CPUS": 200,
    "A2_CPUS": 12,
    "C3_CPUS": 24,
    "INSTANCES": 240,
    "DISKS_TOTAL_GB": 20480,
    "SSD_TOTAL_GB": 20480,
    "IN_USE_ADDRESSES": 69,
    **{a.metric: 4 for a in ACCELERATORS.values()},
    **{f"PREEMPTIBLE_{a.metric}": 4 for a in ACCELERATORS.values()},
}
# Limits that `regions.get` does not print (docs/facts.md 1.10).
UNLISTED_QUOTA_LIMITS: Mapping[str, float] = {"CPUS_PER_VM_FAMILY": 24}
GLOBAL_QUOTA_LIMITS: Mapping[str, float] = {"GPUS_ALL_REGIONS": 8, "CPUS_ALL_REGIONS": 400}
