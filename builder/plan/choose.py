"""From patterns to notebooks that can be run: finds, reads and checks them, and every mistake is told at once."""

from __future__ import annotations

from collections.abc import Sequence

from builder.errors import BadInput, Problem
from builder.options import NotebookEntry, Options
from builder.plan.make import ChosenNotebook
from builder.plan.notebooks import check_parameters, read_notebook
from builder.plan.workspace import Workspace


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
    if problems:
        raise BadInput(problems)
    return chosen


def _choose_one(
    options: Options, workspace: Workspace, path: str, entry: NotebookEntry
) -> ChosenNotebook | list[Problem]:
    wanted = options.options_for(workspace.local_path(path), entry)
    notebook = read_notebook(path, workspace.read(path), kernel=wanted.kernel)
    files = workspace.files_for(path, wanted.include)
    problems = list(files.problems)
    if isinstance(notebook, list):
        return [*notebook, *problems]
    problems += check_parameters(notebook, wanted.parameters)
    if problems:
        return problems
    return ChosenNotebook(notebook=notebook, options=wanted, files=files.files, warnings=files.warnings)
