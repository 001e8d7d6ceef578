"""Packs what goes live: the tested files of all notebooks, every option frozen, and what each job was proven with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from builder.deploy.freeze import entry_of, frozen, notebooks_json
from builder.errors import BadInput, Problem
from builder.options import JobOptions, Options, load_options
from builder.plan.deployed import CONFIG, FOLDER, MANIFEST, Manifest, ManifestJob, sha256_of
from builder.plan.make import ChosenNotebook, Plan
from builder.plan.packing import Archive, MadeFile, StagedFile, pack

__all__ = ["Archive", "Proven", "pack_archive"]

_NAME = "archive.tar.gz"


@dataclass(frozen=True)
class Proven:
    """What a job was proven with: the exact image's path, the packages installed (name==version), and its packed files' hash."""

    image: str
    packages: tuple[str, ...]
    workspace_sha256: str


def pack_archive(  # noqa: PLR0917 - the pieces of one whole, in the order of the work
    plan: Plan,
    chosen: Sequence[ChosenNotebook],
    options: Options,
    proven: Mapping[str, Proven],
    kit_sha256: str,
    folder: Path,
) -> Archive:
    """Write the archive into `folder`; the same bytes for the same input. `proven` has every job of the plan, by its name.

    Raises BadInput for what cannot go live as it was tested.
    """
    files = _tested_files(chosen)
    images = _images(plan, proven)
    entries = [
        entry_of(
            item.notebook.path,
            item.options,
            image=images[item.notebook.path],
            preparation=item.preparation,
        )
        for item in chosen
    ]
    config = MadeFile(CONFIG, notebooks_json(options, entries).encode())
    _check_reads_back(config, options, chosen, images)
    manifest = Manifest(
        kit_sha256=kit_sha256,
        files={
            CONFIG: hashlib.sha256(config.content).hexdigest(),
            **{path: sha256_of(file.source) for path, file in files.items()},
        },
        notebooks={item.notebook.path: tuple(file.path for file in item.files) for item in chosen},
        jobs={
            job.job: ManifestJob(
                notebook=job.notebook.path,
                workspace_sha256=proven[job.job].workspace_sha256,
                packages=proven[job.job].packages,
            )
            for job in plan.jobs
        },
    )
    return pack([*files.values(), config, MadeFile(MANIFEST, manifest.encode())], folder / _NAME)


def _tested_files(chosen: Sequence[ChosenNotebook]) -> Mapping[str, StagedFile]:
    """The files of all notebooks by path, each once."""
    files = {file.path: file for item in chosen for file in item.files}
    taken = [path for path in files if path.partition("/")[0] == FOLDER]
    if taken:
        expected = f"would be staged, and an archive of tested files has its own files in {FOLDER}/: rename that folder"
        raise BadInput([Problem(path, "", expected) for path in taken])
    return files


def _images(plan: Plan, proven: Mapping[str, Proven]) -> Mapping[str, str]:
    """The exact image of each notebook, by path."""
    images: dict[str, set[str]] = {}
    for job in plan.jobs:
        images.setdefault(job.notebook.path, set()).add(proven[job.job].image)
    problems = [
        Problem(
            path,
            "",
            f"its jobs were proven with different images, {' and '.join(sorted(found))}; "
            "run all of them once more, and deploy then",
        )
        for path, found in images.items()
        if len(found) > 1
    ]
    if problems:
        raise BadInput(problems)
    return {path: found.pop() for path, found in images.items()}


def _check_reads_back(
    config: MadeFile, options: Options, chosen: Sequence[ChosenNotebook], images: Mapping[str, str]
) -> None:
    """Read the frozen options as the scheduled run will. Raises BadInput where they are refused, or come back as others.

    Some can be given in ways that a file cannot: lists in more levels, names with a backslash. Better told now than on the first Monday.
    """
    env = {"NB_CONFIG": config.path, "NB_GCS_LOCATION": options.location.url()}
    back = load_options(["plan"], env, {config.path: config.content.decode()}.get)
    problems = []
    for item in chosen:
        path = item.notebook.path
        wanted = frozen(item.options, image=images[path], preparation=item.preparation)
        found = back.by_path.get(path)
        if found != wanted:
            names = [
                one.name
                for one in fields(JobOptions)
                if getattr(found, one.name, None) != getattr(wanted, one.name)
            ]
            expected = f"cannot be frozen as it was tested: {', '.join(names)} would not be the same"
            problems.append(Problem(path, "", expected))
    if problems:
        raise BadInput(problems)
