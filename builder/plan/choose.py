"""From patterns to notebooks that can be run: finds, reads and checks them, and every mistake is told at once."""

from __future__ import annotations

from collections.abc import Sequence

from builder.errors import BadInput, Problem
from builder.options import NotebookEntry, Options
from builder.options.parameters import fan_out, names_and_values
from builder.plan.make import ChosenNotebook
from builder.plan.notebooks import check_parameters, read_notebook
from builder.plan.preparation import prepare
from builder.plan.workspace import Workspace

MOST_JOBS = 1000


def choose(options: Options, workspace: Workspace) -> Sequence[ChosenNotebook]:
    """The notebooks to run, with their files. Raises BadInput with all mistakes in all of them."""
    selection = workspace.select(options.notebooks)
    problems: list[Problem] = list(selection.problems)
    chosen: list[ChosenNotebook] = []
    for path, entry in selection.notebooks:
        one = _choose_one(options, workspace, path, entry)
        if isinstance(one, ChosenNotebook):
            chosen.append(one)
        else:
            problems.extend(one)
    problems += _too_many_jobs(chosen)
    if problems:
        raise BadInput(problems)
    return chosen


def _too_many_jobs(chosen: Sequence[ChosenNotebook]) -> list[Problem]:
    count = sum(len(fan_out(item.options.parameters)) for item in chosen)
    if count <= MOST_JOBS:
        return []
    what = f"{len(chosen)} notebooks and their matrices make {count} jobs; at most {MOST_JOBS} in a run"
    return [Problem("NB_NOTEBOOKS", "", what)]


def _choose_one(
    options: Options, workspace: Workspace, path: str, entry: NotebookEntry
) -> ChosenNotebook | list[Problem]:
    wanted = options.options_for(workspace.local_path(path), entry)
    notebook = read_notebook(path, workspace.read(path), kernel=wanted.kernel)
    preparation = prepare(wanted, workspace)
    files = workspace.files_for(path, wanted.include, preparation.files)
    problems = [*files.problems, *preparation.problems]
    if isinstance(notebook, list):
        return [*notebook, *problems]
    source = f"NB_PARAMETERS or {wanted.parameters_file}" if wanted.parameters_file else "NB_PARAMETERS"
    problems += check_parameters(notebook, names_and_values(wanted.parameters), variable=source)
    if problems:
        return problems
    return ChosenNotebook(
        notebook=notebook,
        options=wanted,
        files=files.files,
        preparation=preparation,
        warnings=files.warnings,
    )
