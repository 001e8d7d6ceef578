"""Puts a job's input into Cloud Storage: workspace, parameters, job.json, each once and never over another."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import kit
from builder.act.workspaces import Workspaces, create_new, workspace_object
from builder.errors import BadInput, BuilderError, EnvironmentFailed, Problem
from builder.kit import Kit
from builder.model import GcsLocation, JsonObject
from builder.plan.deployed import MANIFEST, NOT_TESTED
from builder.plan.make import JobPlan, Plan
from builder.plan.packing import Archive
from builder.ports import ObjectStore

HEARTBEAT_SECONDS = 2


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, for archives on their way. Raises EnvironmentFailed where nothing can be written."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="notebook-builder-")
    except OSError as error:
        advice = "Give the container a writable /tmp, or set TMPDIR to a folder that is."
        raise EnvironmentFailed(
            f"No temporary folder can be made: {error}", reason="no_scratch", advice=advice
        ) from error
    with folder as name:
        yield Path(name)


def load_kit() -> Kit:
    """The kit that this builder carries. Raises BuilderError where there is none."""
    try:
        return kit.load()
    except kit.KitError as error:
        advice = "In a checkout `make venv` builds it; the image carries it."
        raise BuilderError(str(error), reason="kit_missing", advice=advice) from error


def check_kit(plan: Plan) -> Plan:
    """The same plan; raises BadInput where its jobs were proven with another kit than this builder's."""
    wanted = {job.proven.kit_sha256 for job in plan.jobs if job.proven is not None}
    if wanted and wanted != {(own := load_kit().sha256)}:
        named = ", ".join(f"{sha256[:12]}…" for sha256 in sorted(wanted))
        expected = (
            f"the archive was tested with the kit {named}, and this builder's is {own[:12]}…; {NOT_TESTED}: "
            "run the builder's image that live.json names, or deploy anew"
        )
        raise BadInput([Problem(MANIFEST, "", expected)])
    return plan


@dataclass(frozen=True)
class Parcel:
    """A job's input, ready to be uploaded; every hash in it is known before the VM is asked for."""

    prefix: str
    workspace: Archive
    parameters: bytes
    job: bytes

    @property
    def job_sha256(self) -> str:
        """Hash of job.json, which holds the hashes of all the rest."""
        return hashlib.sha256(self.job).hexdigest()

    @property
    def parameters_sha256(self) -> str:
        """Hash of parameters.json."""
        return hashlib.sha256(self.parameters).hexdigest()


def prepare(job: JobPlan, packed: Archive, *, run: str, location: GcsLocation) -> Parcel:
    """Describe a job whose files are packed; no call is made.

    Raises BadInput where they are others than the job was proven with.
    """
    prefix = location.object("staging", run, job.job) + "/"
    if job.proven is not None and job.proven.workspace_sha256 != packed.sha256:
        expected = f"its files are packed as {packed.sha256[:12]}…, and {MANIFEST} has {job.proven.workspace_sha256[:12]}…"
        raise BadInput([Problem(job.notebook.path, "", f"{expected}; {NOT_TESTED}")])
    parameters = json.dumps(dict(job.parameters), ensure_ascii=False).encode()
    description: JsonObject = {
        "schema": 1,
        "run": run,
        "job": job.job,
        "notebook": job.notebook.path,
        "name": job.name,
        "workspace": {
            "object": workspace_object(location, run, packed),
            "sha256": packed.sha256,
            "size": packed.size,
        },
        "parameters": {
            "object": prefix + "parameters.json",
            "sha256": hashlib.sha256(parameters).hexdigest(),
        },
        "notebook_sha256": job.notebook.sha256,
        "kernel": job.kernel,
        "env": dict(job.env),
        "setup": _setup(job),
        "requirements": _requirements(job),
        "secrets": dict(job.secrets),
        "timeout": job.limits.notebook,
        "cell_timeout": job.limits.cell,
        "accelerator": _accelerator(job),
        "heartbeat_seconds": HEARTBEAT_SECONDS,
    }
    return Parcel(
        prefix=prefix,
        workspace=packed,
        parameters=parameters,
        job=json.dumps(description, sort_keys=True, ensure_ascii=False).encode(),
    )


def _setup(job: JobPlan) -> JsonObject | None:
    path = job.preparation.setup
    return None if path is None else {"path": path, "timeout": job.limits.setup}


def _requirements(job: JobPlan) -> JsonObject | None:
    """Where the requirements are, and what the VM needs to say which line of which file is to blame."""
    wanted = job.preparation.requirements
    if wanted is None:
        return None
    return {
        "path": wanted.path,
        "timeout": job.limits.requirements,
        "index_url": job.index_url,
        "require_hashes": wanted.require_hashes,
        "lines": wanted.describe(),
        # None where no run went before that could have proven anything.
        "frozen": list(job.frozen) if job.frozen or job.proven else None,
    }


def _accelerator(job: JobPlan) -> JsonObject | None:
    """What the VM must be able to see: an attached GPU, or one that is built into the machine type."""
    if job.vm.accelerator is not None:
        return {"type": job.vm.accelerator.type, "count": job.vm.accelerator.count}
    return {"type": job.vm.machine_type, "count": 1} if job.vm.has_gpu else None


class Staging:
    """Uploads the jobs' input for one run."""

    def __init__(self, store: ObjectStore, workspaces: Workspaces) -> None:
        self._store = store
        self._workspaces = workspaces

    def stage(self, parcel: Parcel) -> Mapping[str, int]:
        """Upload what the VM waits for, job.json last; the generations written, by `workspace`, `parameters`, `job`."""
        return {
            "workspace": self._workspaces.upload(parcel.workspace).generation,
            "parameters": self._put(parcel, "parameters.json", parcel.parameters),
            "job": self._put(parcel, "job.json", parcel.job),
        }

    def _put(self, parcel: Parcel, name: str, content: bytes) -> int:
        """The generation of the document that was created."""
        name = parcel.prefix + name
        return create_new(self._store, name, content, content_type="application/json").generation
