"""Packs the archive that goes live: the tested files of all notebooks, every option, and the proof of each job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from builder.act.proofs import Proof
from builder.deploy.export_options import entry_of, exported_options, notebooks_json
from builder.errors import BadInput, Problem
from builder.options import JobOptions, Options, load_options
from builder.plan.build_plan import ChosenNotebook, Plan
from builder.plan.deployed import CONFIG, FOLDER, MANIFEST, Manifest, ManifestJob
from builder.plan.packing import Archive, MadeFile, StagedFile, open_staged, pack

_NAME = "archive.tar.gz"


def pack_archive(  # noqa: PLR0917 - the pieces of one whole, in the order of the work
    plan: Plan,
    chosen: Sequence[ChosenNotebook],
    options: Options,
    proofs: Mapping[str, Proof],
    kit_sha256: str,
    folder: Path,
) -> Archive:
    """Write the archive into `folder`; the same bytes for the same input.

    `proofs` has the proof of every job of the plan, by the job's name.

    Raises BadInput for what cannot go live as it was tested.
    """
    files = _tested_files(chosen)
    images = _images(plan, proofs)
    exported = {
        item.notebook.path: exported_options(
            item.options, image=images[item.notebook.path], preparation=item.preparation
        )
        for item in chosen
    }
    entries = [entry_of(path, job_options) for path, job_options in exported.items()]
    config = MadeFile(CONFIG, notebooks_json(options, entries).encode())
    _check_reads_back(config, options, exported)
    manifest = Manifest(
        kit_sha256=kit_sha256,
        files={
            CONFIG: hashlib.sha256(config.content).hexdigest(),
            **{path: _staged_sha256(file) for path, file in files.items()},
        },
        notebooks={item.notebook.path: tuple(file.path for file in item.files) for item in chosen},
        jobs={
            job.job: ManifestJob(
                notebook=job.notebook.path,
                workspace_sha256=proofs[job.job].workspace_sha256,
                packages=proofs[job.job].packages,
            )
            for job in plan.jobs
        },
    )
    return pack([*files.values(), config, MadeFile(MANIFEST, manifest.encode())], folder / _NAME)


def _staged_sha256(file: StagedFile) -> str:
    """Return the hash of a file's bytes as they are tested, in hex."""
    with open_staged(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _tested_files(chosen: Sequence[ChosenNotebook]) -> Mapping[str, StagedFile]:
    """The files of all notebooks by path, each once."""
    files = {file.path: file for item in chosen for file in item.files}
    taken = [path for path in files if path.partition("/")[0] == FOLDER]
    if taken:
        expected = f"would be staged, and an archive of tested files has its own files in {FOLDER}/: rename that folder"
        raise BadInput([Problem(path, "", expected) for path in taken])
    return files


def _images(plan: Plan, proofs: Mapping[str, Proof]) -> Mapping[str, str]:
    """The exact image of each notebook, by path."""
    images: dict[str, set[str]] = {}
    for job in plan.jobs:
        images.setdefault(job.notebook.path, set()).add(proofs[job.job].image)
    problems = [
        Problem(
            path,
            "",
            f"its jobs were proven with different images, {' and '.join(sorted(found))}; "
            "run all of them again before you deploy",
        )
        for path, found in images.items()
        if len(found) > 1
    ]
    if problems:
        raise BadInput(problems)
    return {path: found.pop() for path, found in images.items()}


def _check_reads_back(config: MadeFile, options: Options, exported: Mapping[str, JobOptions]) -> None:
    """Read the exported options as the scheduled run will.

    Raises BadInput if they are refused, or differ from the tested ones.

    A variable can hold values that a file cannot, such as more levels of lists. The mistake must show now, not in the
    first scheduled run.
    """
    env = {"NB_CONFIG": config.path, "NB_GCS_LOCATION": options.gcs_location.url()}
    back, mistakes = load_options(["plan"], env, {config.path: config.content.decode()}.get)
    problems = list(mistakes)
    for path, wanted in exported.items() if not mistakes else ():
        found = back.by_path.get(path)
        names = [
            one.name
            for one in fields(JobOptions)
            if getattr(found, one.name, None) != getattr(wanted, one.name)
        ]
        if names:
            expected = f"cannot be exported as it was tested: {', '.join(names)} would differ"
            problems.append(Problem(path, "", expected))
    if problems:
        raise BadInput(problems)
