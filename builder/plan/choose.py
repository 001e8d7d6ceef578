"""Chooses the notebooks to run: finds, reads and checks them, and reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from builder.errors import BadInput, Problem
from builder.options import JobOptions, Options
from builder.options.message import AcceptedParameters
from builder.options.parameters import fan_out
from builder.plan.build_plan import ChosenNotebook
from builder.plan.event import (
    RunRequest,
    given_parameters,
    message_problems,
    parameter_problems,
    scheduled_types,
)
from builder.plan.notebooks import read_notebook
from builder.plan.preparation import Preparation, Preparations
from builder.plan.workspace import Workspace

MAX_JOBS = 1000


@dataclass(frozen=True)
class _CheckedNotebook:
    """One notebook that was read and checked. `chosen` is None if it has problems, `declared` if it is unreadable."""

    chosen: ChosenNotebook | None
    problems: Sequence[Problem]
    declared: AcceptedParameters | None


def choose(options: Options, workspace: Workspace, request: RunRequest) -> Sequence[ChosenNotebook]:
    """Return the notebooks to run, with their files. Raises BadInput with all mistakes in all notebooks."""
    selection = workspace.select(options.notebooks)
    preparations = Preparations(workspace)
    checked = []
    for path, entry in selection.notebooks:
        wanted = options.options_for(workspace.local_path(path), entry)
        checked.append(_check(wanted, preparations.of(wanted), workspace, request, path))
    chosen = [one.chosen for one in checked if one.chosen is not None]
    problems = [*selection.problems, *(problem for one in checked for problem in one.problems)]
    known = [one.declared for one in checked if one.declared is not None]
    if known and len(known) == len(checked) and not selection.problems:
        # A notebook that cannot be read may declare any name.
        problems += message_problems(request, known)
    problems += _too_many_jobs(chosen, request)
    if problems:
        raise BadInput(tuple(dict.fromkeys(problems)))
    return chosen


def _too_many_jobs(chosen: Sequence[ChosenNotebook], request: RunRequest) -> list[Problem]:
    given = [given_parameters(item.options, item.notebook, request) for item in chosen]
    count = sum(len(fan_out(parameters)) for parameters in given)
    if count <= MAX_JOBS:
        return []
    what = f"{len(chosen)} notebooks and their matrices make {count} jobs; at most {MAX_JOBS} in a run"
    return [Problem("NB_NOTEBOOKS", "", what)]


def _check(
    wanted: JobOptions, preparation: Preparation, workspace: Workspace, request: RunRequest, path: str
) -> _CheckedNotebook:
    notebook = read_notebook(path, workspace.read(path), kernel=wanted.kernel)
    files = workspace.files_for(path, wanted.include, preparation.files)
    problems = [*files.problems, *preparation.problems]
    if isinstance(notebook, list):
        return _CheckedNotebook(None, [*notebook, *problems], None)
    source = f"NB_PARAMETERS or {wanted.parameters_file}" if wanted.parameters_file else "NB_PARAMETERS"
    problems += parameter_problems(wanted, notebook, request, source=source)
    types = scheduled_types(wanted, notebook) if request.message else {}
    declared = AcceptedParameters(types, wanted.allow_secret_parameters)
    chosen = ChosenNotebook(
        notebook=notebook,
        options=wanted,
        files=files.files,
        preparation=preparation,
        warnings=(*(f"{path}: {text}" for text in notebook.assumed), *files.warnings),
    )
    return _CheckedNotebook(None if problems else chosen, problems, declared)
