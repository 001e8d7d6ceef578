"""The name of a proof: one hash over all that says how a job runs. Pure; docs/decisions/0010-what-deploy-believes.md."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from builder.model import JsonObject
from builder.plan.make import JobPlan

_SCHEMA = 1


def inputs_sha256(job: JobPlan, workspace_sha256: str, kit_sha256: str) -> str:
    """The hash, in hex, of the job's inputs, its packed workspace's and its kit's among them.

    Two jobs with the same hash do the same in the same way, wherever, for how long and however often they may: zones, labels, limits,
    attempts, provisioning and the job's own name are not in it.
    """
    described = {**_describe(job), "workspace_sha256": workspace_sha256, "kit_sha256": kit_sha256}
    canonical = json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _describe(job: JobPlan) -> JsonObject:
    return {
        "schema": _SCHEMA,
        "notebook": {"path": job.notebook.path, "sha256": job.notebook.sha256},
        "parameters": dict(job.parameters),
        "kernel": job.kernel,
        "env": dict(job.env),
        "setup": job.preparation.setup,
        "requirements": _requirements(job),
        "secrets": dict(job.secrets),
        "expect": sorted([item.glob, item.minimum_bytes] for item in job.expect),
        "image": asdict(job.image),
        "vm": _vm(job),
    }


def _requirements(job: JobPlan) -> JsonObject | None:
    """What is installed and from where; an index that nothing is installed from changes nothing."""
    wanted = job.preparation.requirements
    if wanted is None:
        return None
    return {
        "path": wanted.path,
        "files": list(wanted.files),
        "lines": wanted.describe(),
        "require_hashes": wanted.require_hashes,
        "index_url": job.index_url,
        "frozen": sorted(job.frozen),
    }


def _vm(job: JobPlan) -> JsonObject:
    """Field by field: one that is new has to be put on one side, and the test sees to that."""
    spec = job.vm
    return {
        "machine_type": spec.machine_type,
        "accelerator": None if spec.accelerator is None else asdict(spec.accelerator),
        "boot_disk_gb": spec.boot_disk_gb,
        "boot_disk_type": spec.boot_disk_type,
        "secure_boot": spec.secure_boot,
        "network": spec.network,
        "subnetwork": spec.subnetwork,
        "external_ip": spec.external_ip,
        "service_account": spec.service_account,
    }
