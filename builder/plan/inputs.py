"""The hash of a job's inputs, which names its proof. Pure; docs/decisions/0010-what-deploy-believes.md."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from builder.model import JsonObject
from builder.plan.build_plan import JobPlan

_SCHEMA = 1


def inputs_sha256(job: JobPlan, workspace_sha256: str, kit_sha256: str) -> str:
    """Return the hash, in hex, of the job's inputs, which include its packed workspace and its kit.

    Jobs with the same hash do the same in the same way. The hash excludes where, how long and how often a job may run:
    zones, labels, limits, attempts, provisioning and the job's name.
    """
    described = {**described_inputs(job), "workspace_sha256": workspace_sha256, "kit_sha256": kit_sha256}
    canonical = json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def described_inputs(job: JobPlan) -> JsonObject:
    """Return what the hash covers beside the packed workspace and the kit."""
    return {
        "schema": _SCHEMA,
        "notebook": {"path": job.notebook.path, "sha256": job.notebook.sha256},
        "parameters": dict(job.parameters),
        "kernel": job.notebook.kernel,
        "env": dict(job.options.env),
        "setup": job.preparation.setup,
        "requirements": _requirements(job),
        "secrets": dict(job.options.secrets),
        "expect": sorted([item.glob, item.minimum_bytes] for item in job.options.expect),
        "fail_on": sorted(job.options.fail_on or ()),
        "image": asdict(job.image),
        "vm": _vm(job),
    }


def _requirements(job: JobPlan) -> JsonObject | None:
    """Return the packages to install and their index. Without packages, the index does not count."""
    wanted = job.preparation.requirements
    if wanted is None:
        return None
    return {
        "path": wanted.path,
        "files": list(wanted.files),
        "lines": [asdict(line) for line in wanted.lines],
        "require_hashes": wanted.require_hashes,
        "index_url": job.options.index_url,
        "frozen": sorted(job.frozen),
    }


def _vm(job: JobPlan) -> JsonObject:
    """Return the VM's options. A test asserts that every option is either in the hash or excluded on purpose."""
    options = job.options
    return {
        "machine_type": options.machine_type,
        "accelerator": None if options.accelerator is None else asdict(options.accelerator),
        "boot_disk_gb": options.boot_disk_gb,
        "boot_disk_type": options.boot_disk_type,
        "secure_boot": options.secure_boot,
        "network": options.network,
        "subnetwork": options.subnetwork,
        "external_ip": options.external_ip,
        "service_account": options.vm_service_account,
    }
