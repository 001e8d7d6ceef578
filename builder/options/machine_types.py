"""Facts about Compute Engine's machine types: GPUs, and the disks that they boot from; docs/facts.md 1.2, 1.5."""

from __future__ import annotations

import re

from builder.model import Accelerator

PD_STANDARD, PD_BALANCED, PD_SSD = "pd-standard", "pd-balanced", "pd-ssd"
HYPERDISK = "hyperdisk-balanced"  # the only Hyperdisk of one zone that boots
DISK_TYPES = (PD_BALANCED, PD_SSD, PD_STANDARD, HYPERDISK)

# The only GPUs that attach, to N1 only, and in these numbers (Compute Engine's documentation, "GPU machine types").
ATTACHABLE_GPUS = {
    "nvidia-tesla-t4": (1, 2, 4),
    "nvidia-tesla-p4": (1, 2, 4),
    "nvidia-tesla-p100": (1, 2, 4),
    "nvidia-tesla-v100": (1, 2, 4, 8),
}
# A machine type that has the GPU built in.
BUILT_IN_GPUS = {
    "nvidia-l4": "g2-standard-4",
    "nvidia-rtx-pro-6000": "g4-standard-48",
    "nvidia-tesla-a100": "a2-highgpu-1g",
    "nvidia-a100-80gb": "a2-ultragpu-1g",
    "nvidia-h100-80gb": "a3-highgpu-1g",
    "nvidia-h100-mega-80gb": "a3-megagpu-8g",
    "nvidia-h200-141gb": "a3-ultragpu-8g",
    "nvidia-b200": "a4-highgpu-8g",
}
# Series with built-in GPUs. Their VMs do not migrate live (docs/facts.md 1.5).
_GPU_MACHINE = r"(?:g2|g4|a2|a3|a4|a4x)-"
_N1_MACHINE = r"(?:n1|custom)-"
_SOLID = (PD_BALANCED, PD_SSD)
_SERIES = re.compile(r"([a-z]+)([0-9]+)")
_FIRST_HYPERDISK_ONLY = 4
_THIRD = 3
# Series of the first two generations that take a Hyperdisk, and those of the second that take no standard disk.
_EARLY_HYPERDISK = ("m1", "m2")
_NO_STANDARD = ("g2",)
# Machine types of A3 with fewer than eight GPUs take no Hyperdisk Balanced, unlike the rest of their series.
_PARTIAL_A3 = re.compile(r"a3-highgpu-[124]g")


def boot_disk_types(machine_type: str) -> tuple[str, ...]:
    """Return the disk types that this machine type boots from, the default first."""
    series = machine_type.partition("-")[0]
    match = _SERIES.match(series)
    generation = int(match[2]) if match else 1  # `custom-4-8192` is an N1
    if _PARTIAL_A3.fullmatch(machine_type) or series in _NO_STANDARD:
        return _SOLID
    if generation >= _FIRST_HYPERDISK_ONLY:
        return (HYPERDISK,)
    if generation == _THIRD:
        return (*_SOLID, HYPERDISK) if series in {"c3", "c3d", "m3"} else (HYPERDISK, *_SOLID)
    return (*_SOLID, PD_STANDARD, HYPERDISK) if series in _EARLY_HYPERDISK else (*_SOLID, PD_STANDARD)


def migrates(machine_type: str) -> bool:
    """True if a VM of this type without a GPU can migrate live; docs/facts.md 1.5."""
    return machine_type.partition("-")[0] not in {"h3", "h4d"} and not machine_type.endswith("-metal")


def has_gpu(machine_type: str, accelerator: Accelerator | None) -> bool:
    """True if a VM of this type has a GPU, attached or built in."""
    return accelerator is not None or has_built_in_gpu(machine_type)


def has_built_in_gpu(machine_type: str) -> bool:
    """True if the machine type has its GPUs built in."""
    return re.match(_GPU_MACHINE, machine_type) is not None


def attaches_gpus(machine_type: str) -> bool:
    """True if GPUs can be attached to the machine type."""
    return re.match(_N1_MACHINE, machine_type) is not None
