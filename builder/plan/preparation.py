"""The steps that a job's VM carries out before the notebook: the set-up script and the requirements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.errors import Problem
from builder.options import JobOptions
from builder.plan.requirements_file import Requirements, read_requirements
from builder.plan.workspace import Workspace

_MAX_LINE = 64 * 1024  # bytes of a script's first line that are read


@dataclass(frozen=True)
class Preparation:
    """The steps before one notebook, and the problems in them. Paths count from the repository's root."""

    setup: str | None = None
    requirements: Requirements | None = None
    ca_bundle: str | None = None  # or gs://bucket/object
    problems: tuple[Problem, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files to stage for the steps."""
        setup = (self.setup,) if self.setup else ()
        bundle = (self.ca_bundle,) if self.ca_bundle and not is_object(self.ca_bundle) else ()
        return setup + bundle + (self.requirements.files if self.requirements else ())


class Preparations:
    """The preparations of one workspace's notebooks. Reads each requirements file once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[tuple[str | None, str | None, str | None, bool], Preparation] = {}

    def of(self, wanted: JobOptions) -> Preparation:
        """Return the preparation for a notebook's options; equal options give the same value."""
        key = (wanted.setup, wanted.requirements, wanted.ca_bundle, wanted.index_url is not None)
        if key not in self._known:
            self._known[key] = _prepare(wanted, self._workspace)
        return self._known[key]


def _prepare(wanted: JobOptions, workspace: Workspace) -> Preparation:
    problems: list[Problem] = []
    setup = requirements = None
    if wanted.setup is not None:
        setup = workspace.repository_path(wanted.setup)
        if expected := _script_problem(workspace.top / setup):
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
    bundle = _ca_bundle(wanted.ca_bundle, workspace, problems)
    return Preparation(setup, requirements, bundle, tuple(problems))


def _script_problem(script: Path) -> str:
    """Return what is wrong with a set-up script; "" if nothing is."""
    if not script.is_file():
        return "there is no such file in the workspace; expected a script's path"
    with script.open("rb") as file:
        spoilt = file.readline(_MAX_LINE).endswith(b"\r\n")
    if not spoilt:
        return ""
    return (
        "it has Windows line ends (CRLF), which Linux takes as a part of each line; save it with LF, and add "
        "`*.sh text eol=lf` to .gitattributes"
    )


def _ca_bundle(given: str | None, workspace: Workspace, problems: list[Problem]) -> str | None:
    """Return the certificates' path from the repository's root, or their object, which only the VM reads."""
    if given is None or is_object(given):
        return given
    path = workspace.repository_path(given)
    if not _has_certificate(workspace.top / path):
        expected = "there is no such file in the workspace, or no certificate in it; expected a PEM file, or gs://BUCKET/OBJECT"
        problems.append(Problem("NB_CA_BUNDLE", given, expected))
    return path


def is_object(bundle: str) -> bool:
    """True if the certificates are in Cloud Storage and not in the workspace."""
    return bundle.startswith("gs://")


def _has_certificate(file: Path) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in file.read_bytes()
    except OSError:
        return False
