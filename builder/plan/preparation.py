"""What a job's VM does before the notebook: its set-up script and its requirements, found in the workspace and staged with it."""

from __future__ import annotations

from dataclasses import dataclass

from builder.errors import Problem
from builder.options import JobOptions
from builder.plan.requirements_file import Requirements, read_requirements
from builder.plan.workspace import Workspace


@dataclass(frozen=True)
class Preparation:
    """The steps before one notebook; paths count from the repository's root. `problems` are what keeps them from being planned."""

    setup: str | None = None
    requirements: Requirements | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """What has to be staged for them, wherever it lies."""
        setup = (self.setup,) if self.setup else ()
        return setup + (self.requirements.files if self.requirements else ())


class Preparations:
    """The preparations of one workspace's notebooks. Reads each requirements file once, however many notebooks name it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[tuple[str | None, str | None, bool], Preparation] = {}

    def of(self, wanted: JobOptions) -> Preparation:
        """The preparation that a notebook's options ask for; the same value for the same options."""
        key = (wanted.setup, wanted.requirements, wanted.index_url is not None)
        if key not in self._known:
            self._known[key] = _prepare(wanted, self._workspace)
        return self._known[key]


def _prepare(wanted: JobOptions, workspace: Workspace) -> Preparation:
    problems: list[Problem] = []
    setup = requirements = None
    if wanted.setup is not None:
        setup = workspace.repository_path(wanted.setup)
        if not (workspace.top / setup).is_file():
            expected = "there is no such file in the workspace; expected a script's path"
            problems.append(Problem("NB_SETUP", wanted.setup, expected))
    if wanted.requirements is not None:
        path = workspace.repository_path(wanted.requirements)
        if (workspace.top / path).is_file():
            read = read_requirements(path, workspace.text, only_index=wanted.index_url is not None)
            if isinstance(read, list):
                problems += read
            else:
                requirements = read
        else:
            expected = "there is no such file in the workspace; expected the path of a requirements file, which lists the packages"
            problems.append(Problem("NB_REQUIREMENTS", wanted.requirements, expected))
    return Preparation(setup, requirements, tuple(problems))
