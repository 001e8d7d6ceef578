"""From patterns to notebooks that can be run: finds, reads and checks them, and every mistake is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from builder.errors import BadInput, Problem
from builder.options import JobOptions, Options
from builder.options.message import Declared
from builder.options.parameters import fan_out
from builder.plan.event import Asked, given_parameters, message_problems, parameter_problems, scheduled_kinds
from builder.plan.make import ChosenNotebook
from builder.plan.notebooks import read_notebook
from builder.plan.preparation import Preparation, Preparations
from builder.plan.workspace import Workspace

MOST_JOBS = 1000


@dataclass(frozen=True)
class _Looked:
    """One notebook, looked into: chosen, or what is wrong with it. `declared` is None where it could not even be read."""

    chosen: ChosenNotebook | None
    problems: Sequence[Problem]
    declared: Declared | None


def choose(options: Options, workspace: Workspace, asked: Asked) -> Sequence[ChosenNotebook]:
    """The notebooks to run, with their files. Raises BadInput with all mistakes in all of them."""
    selection = workspace.select(options.notebooks)
    preparations = Preparations(workspace)
    looked = []
    for path, entry in selection.notebooks:
        wanted = options.options_for(workspace.local_path(path), entry)
        looked.append(_look(wanted, preparations.of(wanted), workspace, asked, path))
    chosen = [one.chosen for one in looked if one.chosen is not None]
    problems = [*selection.problems, *(problem for one in looked for problem in one.problems)]
    known = [one.declared for one in looked if one.declared is not None]
    if len(known) == len(looked) and not selection.problems:
        # Where a notebook is missing, nobody can say that none declares a name.
        problems += message_problems(asked, known)
    problems += _too_many_jobs(chosen, asked)
    if problems:
        raise BadInput(tuple(dict.fromkeys(problems)))
    return chosen


def _too_many_jobs(chosen: Sequence[ChosenNotebook], asked: Asked) -> list[Problem]:
    given = [given_parameters(item.options, item.notebook, asked) for item in chosen]
    count = sum(len(fan_out(parameters)) for parameters in given)
    if count <= MOST_JOBS:
        return []
    what = f"{len(chosen)} notebooks and their matrices make {count} jobs; at most {MOST_JOBS} in a run"
    return [Problem("NB_NOTEBOOKS", "", what)]


def _look(
    wanted: JobOptions, preparation: Preparation, workspace: Workspace, asked: Asked, path: str
) -> _Looked:
    notebook = read_notebook(path, workspace.read(path), kernel=wanted.kernel)
    files = workspace.files_for(path, wanted.include, preparation.files)
    problems = [*files.problems, *preparation.problems]
    if isinstance(notebook, list):
        return _Looked(None, [*notebook, *problems], None)
    source = f"NB_PARAMETERS or {wanted.parameters_file}" if wanted.parameters_file else "NB_PARAMETERS"
    problems += parameter_problems(wanted, notebook, asked, source=source)
    kinds = scheduled_kinds(wanted, notebook) if asked.message else {}
    declared = Declared(kinds, wanted.allow_secret_parameters)
    chosen = ChosenNotebook(
        notebook=notebook,
        options=wanted,
        files=files.files,
        preparation=preparation,
        warnings=files.warnings,
    )
    return _Looked(None if problems else chosen, problems, declared)
