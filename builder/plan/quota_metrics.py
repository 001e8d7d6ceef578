"""The names of Compute Engine's quotas that a VM uses (docs/facts.md 1.5). Pure."""

from __future__ import annotations

# Series whose vCPUs count as CPUS; the others have their own metric, if Compute Engine lists one.
_COMMON_CPUS = frozenset({"e2", "n1", "g2", "f1", "g1", "custom"})


def cpu_metric(series: str) -> str:
    """The metric of a standard VM's vCPUs, by the series of its machine type: `N2_CPUS` for n2."""
    return "CPUS" if series in _COMMON_CPUS else f"{series.upper()}_CPUS"


def gpu_metric(accelerator: str) -> str:
    """The metric of an accelerator type: `NVIDIA_T4_GPUS` for nvidia-tesla-t4."""
    model = accelerator.removeprefix("nvidia-").removeprefix("tesla-")
    return f"NVIDIA_{model.replace('-', '_').upper()}_GPUS"
