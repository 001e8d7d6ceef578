"""Finds everything that is wrong with a build file and reports each fault once, with its line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.cli.submit.reading import BuildFile
from localcloud.core.discovery import load
from localcloud.core.schema import Checker
from localcloud.services.cloudbuild.names import ACCOUNT_KEYS, TRIGGER_KEYS
from localcloud.services.cloudbuild.problem import Json, Path, Problem, part
from localcloud.services.cloudbuild.refusals import not_covered
from localcloud.services.cloudbuild.rules import problems
from localcloud.services.cloudbuild.rules_substitutions import undefined

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Fault:
    """One fault: its `line` in the file (0 for the command line), its path in the build, and its text."""

    where: str
    line: int
    path: Path
    text: str

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        return f"{place}: {printed(self.path)}: {self.text}" if self.path else f"{place}: {self.text}"


def faults(
    file: BuildFile, substitutions: Mapping[str, str], *, triggered: bool = False, own_account: bool = False
) -> list[Fault]:
    """Return the faults of the build and of the substitutions given for it, in the order of the lines.

    `triggered`: substitutions are matched loosely and evaluated, as in a build that a trigger starts. `own_account`:
    the build's account is that of the command line.
    """
    build = merged(file.build, substitutions, triggered=triggered)
    found: list[Problem] = []
    for check in (
        _of_schema(file),
        _of_gcloud(file.build),
        not_covered(build),
        problems(build),
        undefined(build),
    ):
        # A value of a wrong form or name is reported once: the later checks say nothing more about it.
        reported = {problem.path for problem in found}
        found += [problem for problem in check if problem.path not in reported]
    ranks = {path: rank for rank, path in enumerate(file.lines)}
    placed = [
        Fault("--service-account", 0, (), problem.text)
        if own_account and problem.path == ("serviceAccount",)
        else _placed(file, problem, substitutions)
        for problem in found
    ]
    return sorted(placed, key=lambda fault: (fault.line == 0, fault.line, ranks.get(fault.path, len(ranks))))


def merged(build: Json, substitutions: Mapping[str, str], *, triggered: bool) -> Json:
    """Return the build with the substitutions given for it, which take precedence over its own."""
    result = dict(build)
    if substitutions:
        result["substitutions"] = {**part(build, "substitutions"), **substitutions}
    if triggered:
        always = {"substitutionOption": "ALLOW_LOOSE", "dynamicSubstitutions": True}
        result["options"] = {**part(build, "options"), **always}
    return result


def printed(path: Path) -> str:
    """Return a path as people write it: steps[0].waitFor[1]."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def _of_schema(file: BuildFile) -> list[Problem]:
    """Return the keys and values that Google's discovery document does not allow."""
    paths = {f"build.{printed(path)}": path for path in file.lines}
    checker = Checker(load("cloudbuild.v1").schemas, "request", "cloudbuild.projects.builds.create", "build")
    found = checker.problems("Build", file.build)
    return [Problem(paths.get(fault.field, ()), str(fault)) for fault in found]


def _of_gcloud(build: Json) -> list[Problem]:
    """Return the faults that gcloud itself finds in a file before it calls Google."""
    found = [
        Problem(("substitutions", key), f"substitution key {key} does not respect format ^_[A-Z0-9_]+$")
        for key in part(build, "substitutions")
        if key in TRIGGER_KEYS | ACCOUNT_KEYS
    ]
    if "source" in build:
        found.append(
            Problem(("source",), "config cannot specify source; the source is the folder that you submit")
        )
    return found


def _placed(file: BuildFile, problem: Problem, given: Mapping[str, str]) -> Fault:
    path = problem.path
    if len(path) > 1 and path[0] == "substitutions" and path[1] in given:
        return Fault("--substitutions", 0, path[1:], problem.text)
    return Fault(file.name, file.line(path), path, problem.text)
