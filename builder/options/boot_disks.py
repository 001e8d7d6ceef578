"""The disk types that a machine type can boot from; docs/facts.md 1.2. Pure."""

from __future__ import annotations

import re

PD_STANDARD, PD_BALANCED, PD_SSD = "pd-standard", "pd-balanced", "pd-ssd"
HYPERDISK = "hyperdisk-balanced"  # the only Hyperdisk of one zone that boots
DISK_TYPES = (PD_BALANCED, PD_SSD, PD_STANDARD, HYPERDISK)

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
    """The disk types that this machine type boots from, the one that is taken unless another is asked for first."""
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
