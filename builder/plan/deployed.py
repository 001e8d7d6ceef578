"""The workspace of an unpacked archive of tested files, which has exactly those files or is refused.

    <tested files at their repo paths>
    .notebook-builder/notebooks.json   every option as it was resolved, in the format of notebooks.yaml
    .notebook-builder/manifest.json    the files of each notebook, their hashes, and the proof of each job

A run is a run of the archive if NB_CONFIG names the archive's notebooks.json.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import JsonObject
from builder.options import Options
from builder.plan.build_plan import JobPlan, Plan, ProvenBytes
from builder.plan.packing import StagedFile
from builder.plan.staged_files import Collected
from builder.plan.tracked import Tracked
from builder.plan.workspace import Workspace
from builder.strict_json import read_object

FOLDER = ".notebook-builder"
CONFIG = f"{FOLDER}/notebooks.json"
MANIFEST = f"{FOLDER}/manifest.json"
NOT_TESTED = "this is not what was tested"
TAKEN = f"is tracked by git, but `deploy` stores its own files in {FOLDER}/: remove that folder from the repository"
NO_EVENT = "is required for a run of deployed files: the message that asks for this run, such as {}"
_SCHEMA = 1
_EXECUTABLE = 0o111


@dataclass(frozen=True)
class ManifestJob:
    """The proof of one job: its notebook's path, its packed workspace's hash, and the installed packages."""

    notebook: str
    workspace_sha256: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """The contents of an archive: the SHA-256 of every tested file by path, and the paths staged with each notebook."""

    kit_sha256: str
    files: Mapping[str, str]
    notebooks: Mapping[str, tuple[str, ...]]
    jobs: Mapping[str, ManifestJob]

    def encode(self) -> bytes:
        """Return the manifest as the archive holds it."""
        document: JsonObject = {
            "schema": _SCHEMA,
            "kit": self.kit_sha256,
            "files": dict(self.files),
            "notebooks": {path: {"files": list(files)} for path, files in self.notebooks.items()},
            "jobs": {
                name: {
                    "notebook": job.notebook,
                    "workspace_sha256": job.workspace_sha256,
                    "packages": list(job.packages),
                }
                for name, job in self.jobs.items()
            },
        }
        return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()

    def job_of(self, job: JobPlan) -> ManifestJob | None:
        """Return the job's proof. A job that a schedule or a message adds has the proof of its notebook's first job."""
        known = self.jobs.get(job.job)
        if known is not None and known.notebook == job.notebook.path:
            return known
        same = (self.jobs[name] for name in sorted(self.jobs))
        return next((one for one in same if one.notebook == job.notebook.path), None)


def decode_manifest(raw: bytes) -> Manifest:
    """Return the manifest in these bytes. Raises ValueError if they are no manifest."""
    try:
        found: Any = read_object(raw)
        if found["schema"] != _SCHEMA:
            raise ValueError
        return Manifest(
            kit_sha256=str(found["kit"]),
            files={str(path): str(sha256) for path, sha256 in found["files"].items()},
            notebooks={path: tuple(map(str, one["files"])) for path, one in found["notebooks"].items()},
            jobs={
                name: ManifestJob(str(job["notebook"]), str(job["workspace_sha256"]), tuple(job["packages"]))
                for name, job in found["jobs"].items()
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


class DeployedWorkspace(Workspace):
    """The files of an unpacked archive, as the manifest lists them. Other files of the folder, and git, do not count.

    Raises BadInput if a file is missing or differs from the tested one.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._sets: dict[tuple[str, ...], tuple[StagedFile, ...]] = {}
        self.manifest = self._read_manifest()
        problems = [
            problem for path in sorted(self.manifest.files) for problem in self._other_than_tested(path)
        ]
        if problems:
            raise BadInput(problems)

    @functools.cached_property
    def _tracked(self) -> Tracked | None:
        return None

    @functools.cached_property
    def _notebooks(self) -> list[str]:
        return sorted(self.manifest.notebooks)

    def files_for(
        self, path: str, include: Sequence[str] | None = None, also: Sequence[str] = ()
    ) -> Collected:
        """Return the files that were tested with the notebook."""
        tested = self.manifest.notebooks.get(path)
        if tested is None:
            return Collected((), (), (Problem(path, "", f"is no notebook of the archive; {NOT_TESTED}"),))
        missing = [name for name in also if name not in tested]
        problems = [Problem(name, "", f"was not staged with {path}; {NOT_TESTED}") for name in missing]
        if include is not None:
            expected = f"the archive says which files are staged, and other ones are not tested: leave {path}'s NB_INCLUDE out"
            problems.append(Problem("NB_INCLUDE", ",".join(include), expected))
        return Collected(self._staged_set(tuple(sorted(tested))), (), tuple(problems))

    def _staged_set(self, paths: tuple[str, ...]) -> tuple[StagedFile, ...]:
        """Return the files at these paths; equal paths give the same tuple."""
        if paths not in self._sets:
            self._sets[paths] = tuple(self._staged(path) for path in paths)
        return self._sets[paths]

    def _staged(self, path: str) -> StagedFile:
        source = self.top / path
        status = source.stat()
        return StagedFile(path, source, status.st_size, bool(status.st_mode & _EXECUTABLE))

    def _read_manifest(self) -> Manifest:
        try:
            return decode_manifest((self.top / MANIFEST).read_bytes())
        except OSError as error:
            expected = f"these settings go with {MANIFEST}, which cannot be read: {error.strerror}"
            raise BadInput([Problem("NB_CONFIG", CONFIG, expected)]) from error
        except ValueError as error:
            expected = f"is no manifest that this version reads; {NOT_TESTED}"
            raise BadInput([Problem(MANIFEST, "", expected)]) from error

    def _other_than_tested(self, path: str) -> list[Problem]:
        try:
            found = sha256_of(self.top / path)
        except OSError as error:
            return [Problem(path, "", f"cannot be read ({error.strerror}); {NOT_TESTED}")]
        changed = found != self.manifest.files[path]
        return [Problem(path, "", f"has changed since; {NOT_TESTED}")] if changed else []


def sha256_of(path: Path) -> str:
    """Return the hash of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_workspace(options: Options, folder: Path) -> Workspace:
    """Return the workspace in this folder: an archive's workspace if NB_CONFIG names the archive's options.

    Raises BadInput for a run of an archive without an event, since an archive runs only with an event's day and
    parameters. Raises BadInput for `deploy` in a repo that tracks files in the archive's own folder.
    """
    if options.config == CONFIG:
        if options.command == "run" and options.event is None:
            raise BadInput([Problem("NB_EVENT", "", NO_EVENT)])
        return DeployedWorkspace(folder)
    workspace = Workspace(folder)
    if options.command == "deploy" and workspace.tracks(FOLDER):
        raise BadInput([Problem(FOLDER, "", TAKEN)])
    return workspace


def as_proven(plan: Plan, workspace: Workspace) -> Plan:
    """Return the plan; in an archive's workspace, each job has its proof. Raises BadInput for a job without one."""
    if not isinstance(workspace, DeployedWorkspace):
        return plan
    return replace(plan, jobs=tuple(_proven(job, workspace.manifest) for job in plan.jobs))


def _proven(job: JobPlan, manifest: Manifest) -> JobPlan:
    known = manifest.job_of(job)
    if known is None:
        expected = f"names no job of {job.notebook.path}; {NOT_TESTED}"
        raise BadInput([Problem(MANIFEST, "", expected)])
    proven = ProvenBytes(manifest.kit_sha256, known.workspace_sha256)
    return replace(job, frozen=known.packages, proven=proven)
