"""The first step of the run: fetch job, workspace and parameters, and find the notebook among them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.vm.codec import ProtocolError
from builder.vm.protocol import Inputs, Job, NotebookInput

from . import workspace
from .attempt import Attempt
from .fault import Fault


@dataclass(frozen=True)
class LoadedNotebook:
    """The notebook on the VM's disk, with its parameters. `staged`: all files of the workspace."""

    path: Path
    content: dict[str, Any]
    parameters: dict[str, Any]
    staged: list[Path]
    outputs: Path

    @property
    def folder(self) -> Path:
        """The notebook's folder, in which it runs."""
        return self.path.parent


def fetch_job(attempt: Attempt) -> Job:
    """Return job.json once it is there. Raises `Fault` and `StorageError`."""
    settings = attempt.settings
    wanted = settings.metadata.job
    fetched = attempt.bucket.fetch(wanted.object, wanted.sha256, settings.boot_deadline)
    attempt.facts.inputs = Inputs(job=fetched.input)
    return decode_job(fetched.content)


def decode_job(raw: bytes) -> Job:
    """Return the job in these bytes. Raises `Fault` if it is not what the protocol says."""
    try:
        return Job.decode(raw)
    except ProtocolError as error:
        raise Fault("runner", f"job.json is not understood by this kit: {error}") from error


def load(attempt: Attempt, job: Job) -> LoadedNotebook:
    """Fetch and unpack the workspace, and return its notebook. Raises `Fault` and `StorageError`."""
    parameters = _fetch_inputs(attempt, job)
    path, content = workspace.open_notebook(attempt.tree, job)
    attempt.facts.inputs = replace(attempt.facts.inputs, notebook=NotebookInput(job.notebook_sha256))
    staged = workspace.files(attempt.tree)
    attempt.staged = frozenset(staged)
    return LoadedNotebook(path, content, parameters, staged, workspace.empty_outputs(path.parent))


def _fetch_inputs(attempt: Attempt, job: Job) -> dict[str, Any]:
    """Fetch workspace and parameters side by side and unpack; return the parameters."""
    bucket, deadline = attempt.bucket, attempt.settings.boot_deadline
    archive = attempt.settings.home / "workspace.tar.gz"
    with ThreadPoolExecutor(1) as pool:
        wanted = job.parameters
        parameters = pool.submit(bucket.fetch, wanted.object, wanted.sha256, deadline) if wanted else None
        packed = bucket.fetch(job.workspace.object, job.workspace.sha256, deadline, archive)
        attempt.facts.inputs = replace(attempt.facts.inputs, workspace=packed.input)
        workspace.unpack(archive, attempt.tree)
        archive.unlink()
        if parameters is None:
            return {}
        fetched = parameters.result()
        attempt.facts.inputs = replace(attempt.facts.inputs, parameters=fetched.input)
        value = json.loads(fetched.content)
    return value if isinstance(value, dict) else {}
