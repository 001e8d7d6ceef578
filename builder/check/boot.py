"""The plan of `check --boot`: one VM as the first job's, with a notebook that reports what the VM has. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.plan.build_plan import JobPlan, Plan
from builder.plan.format import duration
from builder.plan.notebooks import read_notebook
from builder.plan.packing import StagedFile
from builder.plan.preparation import Preparation

if TYPE_CHECKING:
    from builder.model import Notebook

_NOTEBOOK = Path(__file__).with_name("boot.ipynb")
_NAME = "check-boot"
_LIMIT = 120  # seconds for the notebook, which waits for the package index for ten at the most


def boot_plan(plan: Plan) -> Plan:
    """Return the plan that boots one VM: machine, image, network and account of the plan's first job, one attempt."""
    first = plan.jobs[0].options
    options = replace(
        first,
        parameters={},
        parameters_file=None,
        kernel=None,
        env={},
        secrets={},
        setup=None,
        requirements=None,
        ca_bundle=None,
        expect=(),
        timeout=_LIMIT,
        cell_timeout=None,
        max_attempts=1,
    )
    content = _NOTEBOOK.read_bytes()
    path = f"{_NAME}.ipynb"
    job = JobPlan(
        job=_NAME,
        notebook=_built_in(path, content),
        options=options,
        parameters={} if first.index_url is None else {"index_url": first.index_url},
        files=(StagedFile(path, _NOTEBOOK, len(content), executable=False),),
        preparation=Preparation(),
    )
    return replace(plan, jobs=(job,), output="results/<run>", scheduled=False, reuse_seconds=None)


def _built_in(path: str, content: bytes) -> Notebook:
    notebook = read_notebook(path, content)
    assert not isinstance(notebook, list)  # noqa: S101 - it is ours
    return notebook


def announcement(plan: Plan) -> Iterator[str]:
    """Yield what `check --boot` will do and what that costs, before it starts."""
    (job,) = plan.jobs
    vm = job.options
    gpu = f" with {vm.accelerator.count} x {vm.accelerator.type}" if vm.accelerator else ""
    yield (
        f"check --boot starts one VM: {vm.machine_type}{gpu}, {job.image}, in {', '.join(vm.zones)}; it deletes the VM after a "
        f"minute or two, and Compute Engine does after {duration(job.limits.vm)} at the latest"
    )
    yield (
        f"the cost: a few minutes of the VM and of its disk of {vm.boot_disk_gb} GB, which is cents, or more with expensive "
        "GPUs; the prices are at https://cloud.google.com/compute/all-pricing"
    )
