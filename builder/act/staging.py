"""Uploads a job's input: workspace, parameters and job.json, each once, and never over another object."""

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
from builder.kit import UV, Kit
from builder.model import GcsLocation
from builder.plan.build_plan import JobPlan, Plan
from builder.plan.deployed import MANIFEST, NOT_TESTED
from builder.plan.packing import Archive
from builder.plan.preparation import is_object
from builder.ports import ObjectStore
from builder.vm.protocol import (
    HEARTBEAT_SECONDS,
    CaBundle,
    ExpectedGpus,
    Job,
    RequirementsStep,
    SetupStep,
    StagedObject,
    StagedWorkspace,
)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder for archives. Raises EnvironmentFailed if it cannot be created."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="notebook-builder-")
    except OSError as error:
        advice = "Give the container a writable /tmp, or set TMPDIR to a folder that is."
        raise EnvironmentFailed(
            f"A temporary folder cannot be created: {error}", reason="no_scratch", advice=advice
        ) from error
    with folder as name:
        yield Path(name)


def load_kit(*, uv: bool = False) -> Kit:
    """Return the kit of this builder. Raises BuilderError if there is none, or if it lacks uv and `uv` asks for it."""
    try:
        loaded = kit.load()
    except kit.KitError as error:
        raise _kit_missing(str(error)) from error
    if uv and UV not in loaded.archives:
        raise _kit_missing("the kit has no uv, which installs the requirements of notebooks")
    return loaded


def _kit_missing(message: str) -> BuilderError:
    return BuilderError(
        message, reason="kit_missing", advice="In a checkout, `make venv` builds it. The image has it."
    )


def check_kit(plan: Plan) -> Plan:
    """Return the plan unchanged. Raises BadInput if its jobs were proven with another kit than this builder's."""
    wanted = {job.proven.kit_sha256 for job in plan.jobs if job.proven is not None}
    if wanted and wanted != {(own := load_kit().sha256)}:
        named = ", ".join(f"{sha256[:12]}…" for sha256 in sorted(wanted))
        expected = (
            f"the archive was tested with kit {named}, but this builder has kit {own[:12]}…: run the builder image that live.json "
            "names, or deploy again"
        )
        raise BadInput([Problem(MANIFEST, "", expected)])
    return plan


@dataclass(frozen=True)
class StagedInput:
    """A job's input, ready for the upload. All its hashes are known before the VM is requested."""

    prefix: str
    workspace: Archive
    parameters: bytes
    job: bytes

    @property
    def job_sha256(self) -> str:
        """The SHA-256 of job.json, which has the hashes of all other input."""
        return hashlib.sha256(self.job).hexdigest()

    @property
    def parameters_sha256(self) -> str:
        """The SHA-256 of parameters.json."""
        return hashlib.sha256(self.parameters).hexdigest()


def prepare(job: JobPlan, packed: Archive, *, run: str, location: GcsLocation) -> StagedInput:
    """Return the input of a job whose files are packed. Makes no call.

    Raises BadInput if the files differ from those that the job was proven with.
    """
    prefix = location.object("staging", run, job.job) + "/"
    if job.proven is not None and job.proven.workspace_sha256 != packed.sha256:
        expected = f"its files are packed as {packed.sha256[:12]}…, and {MANIFEST} has {job.proven.workspace_sha256[:12]}…"
        raise BadInput([Problem(job.notebook.path, "", f"{expected}; {NOT_TESTED}")])
    parameters = json.dumps(dict(job.parameters), ensure_ascii=False).encode()
    described = Job(
        run=run,
        job=job.job,
        notebook=job.notebook.path,
        name=job.name,
        workspace=StagedWorkspace(workspace_object(location, run, packed), packed.sha256, packed.size),
        parameters=StagedObject(prefix + "parameters.json", hashlib.sha256(parameters).hexdigest()),
        notebook_sha256=job.notebook.sha256,
        kernel=job.notebook.kernel,
        env=job.options.env,
        setup=_setup(job),
        requirements=_requirements(job),
        ca_bundle=_ca_bundle(job.preparation.ca_bundle),
        secrets=job.options.secrets,
        timeout=job.limits.notebook,
        cell_timeout=job.options.cell_timeout,
        accelerator=_expected_gpus(job),
        heartbeat_seconds=HEARTBEAT_SECONDS,
    )
    return StagedInput(prefix=prefix, workspace=packed, parameters=parameters, job=described.encode())


def _setup(job: JobPlan) -> SetupStep | None:
    path = job.preparation.setup
    return None if path is None else SetupStep(path, job.limits.setup)


def _ca_bundle(bundle: str | None) -> CaBundle | None:
    if bundle is None or not is_object(bundle):
        return None if bundle is None else CaBundle(bundle)
    bucket, _, name = bundle.removeprefix("gs://").partition("/")
    return CaBundle(name, bucket)


def _requirements(job: JobPlan) -> RequirementsStep | None:
    """Return the requirements, with what the VM needs to name the file and the line of a mistake."""
    wanted = job.preparation.requirements
    if wanted is None:
        return None
    return RequirementsStep(
        path=wanted.path,
        timeout=job.limits.requirements,
        index_url=job.options.index_url,
        require_hashes=wanted.require_hashes,
        lines=wanted.lines,
        frozen=job.frozen if job.frozen or job.proven else None,  # None: no run has proven the job
    )


def _expected_gpus(job: JobPlan) -> ExpectedGpus | None:
    """Return the GPUs that the VM must see: attached ones, or one that is built into the machine type."""
    if job.options.accelerator is not None:
        return ExpectedGpus(job.options.accelerator.type, job.options.accelerator.count)
    return ExpectedGpus(job.options.machine_type, 1) if job.options.has_gpu else None


def stage(staged_input: StagedInput, store: ObjectStore, workspaces: Workspaces) -> Mapping[str, int]:
    """Upload the input, job.json last. Returns the generations of `workspace`, `parameters` and `job`."""

    def put(name: str, content: bytes) -> int:
        """Create a document. Returns its generation."""
        return create_new(
            store, staged_input.prefix + name, content, content_type="application/json"
        ).generation

    return {
        "workspace": workspaces.upload(staged_input.workspace).generation,
        "parameters": put("parameters.json", staged_input.parameters),
        "job": put("job.json", staged_input.job),
    }
