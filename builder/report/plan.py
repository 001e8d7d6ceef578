"""The plan as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from posixpath import basename

from builder.model import JsonObject
from builder.plan.build_plan import MAX_BUILD_SECONDS, Plan
from builder.plan.format import counted, duration

_SHOWN_FILES = 5


def plan_lines(description: JsonObject) -> Iterator[str]:
    """Yield the lines that `plan` prints for people."""
    jobs = description["jobs"]
    yield f"run {description['run']} in project {description['project']}, {description['location']}"
    yield f"{counted([job['notebook'] for job in jobs])}, at most {description['concurrency']} at a time"
    if description["scheduled"]:
        yield f"scheduled, for {description['today']}"
    for job in jobs:
        yield ""
        yield f"{job['job']}: {job['notebook']}"
        yield from (f"  {name:12} {text}" for name, text in _job_lines(job))
    yield ""
    worst = description["worst_case_seconds"]
    limit = "the build's own timeout must exceed it"
    if description["exceeds_longest_build"]:
        limit = f"no build lasts so long: Cloud Build's longest timeout is {duration(MAX_BUILD_SECONDS)}"
    expected = description["expected_seconds"]
    yield f"VMs:        at most {description['vm_seconds'] / 3600:.1f} hours, if every VM lives until its deadline"
    yield f"expected:   at most {expected} s ({duration(expected)}), if no attempt is repeated"
    yield f"worst case: {worst} s ({duration(worst)}); {limit}"


def too_long(plan: Plan) -> str:
    """The warning about a worst case that is longer than any build may last, and what shortens it."""
    worst = plan.worst_case_seconds
    return (
        f"the worst case of {worst} s ({duration(worst)}) is longer than the {duration(MAX_BUILD_SECONDS)} that a build may "
        f"run: raise NB_CONCURRENCY (it is {plan.concurrency}), lower NB_TIMEOUT or NB_MAX_ATTEMPTS, or use several builds, "
        "each with its own glob in NB_NOTEBOOKS"
    )


def _job_lines(job: JsonObject) -> Iterator[tuple[str, str]]:
    if "proof" in job:
        yield "proof", job["proof"]
    cell = job["cell_timeout"]
    yield "parameters", json.dumps(job["parameters"], ensure_ascii=False) if job["parameters"] else "none"
    yield "expects", ", ".join(job["expect"]) or "no files (NB_EXPECT is not set)"
    yield "files", f"{len(job['files'])}: {', '.join(job['files'][:_SHOWN_FILES])}{_more(job['files'])}"
    yield "kernel", job["kernel"]
    if job["env"]:
        yield "environment", ", ".join(job["env"])
    if job["setup"]:
        yield "set-up", f"{job['setup']}, at most {duration(job['setup_timeout'])}"
    if job["requirements"]:
        index = f", from {job['index_url']}" if job["index_url"] else ""
        yield "packages", f"{job['requirements']}{index}, at most {duration(job['requirements_timeout'])}"
    if job["ca_bundle"]:
        yield "certificates", f"the VM's own and {job['ca_bundle']}"
    if job["secrets"]:
        yield "secrets", ", ".join(f"{name} from {resource}" for name, resource in job["secrets"].items())
    yield "zones", ", ".join(job["zones"])
    yield "image", job["image"]
    yield from _vm_lines(job["instance"])
    yield (
        "limits",
        (
            f"notebook {duration(job['timeout'])}, cell {duration(cell) if cell else 'none'}, boot {duration(job['boot_timeout'])}, "
            f"at most {job['max_attempts']} attempts"
        ),
    )
    deadline = job["vm_deadline_seconds"]
    yield "VM deadline", f"{deadline} s ({duration(deadline)}) after its start, enforced by Compute Engine"
    yield "output", job["output"]


def _vm_lines(body: JsonObject) -> Iterator[tuple[str, str]]:
    """The VM in words; its whole body is in the JSON form."""
    disk = body["disks"][0]["initializeParams"]
    nic = body["networkInterfaces"][0]
    gpus = [
        f"{item['acceleratorCount']} x {basename(item['acceleratorType'])}"
        for item in body.get("guestAccelerators", ())
    ]
    yield "machine", " + ".join([basename(body["machineType"]), *gpus])
    yield "boot disk", f"{disk['diskSizeGb']} GB {basename(disk['diskType'])}"
    address = "with" if nic.get("accessConfigs") else "without"
    yield "network", f"{basename(nic.get('subnetwork') or nic['network'])}, {address} an external IP address"
    yield "account", body["serviceAccounts"][0]["email"]


def _more(files: Sequence[str]) -> str:
    return f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
