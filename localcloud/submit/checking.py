"""Finds all that is wrong with a build file, from three checkers, and tells each fault once, with its line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.cloudbuild.names import ACCOUNT_KEYS, TRIGGER_KEYS
from localcloud.cloudbuild.problem import Json, Path, Problem, part
from localcloud.cloudbuild.rules import problems
from localcloud.cloudbuild.substitutions import undefined
from localcloud.submit import schema, shape
from localcloud.submit.reading import BuildFile

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Fault:
    """One fault: where it was written (`line` of the file; 0 for the command line), its place in the build, and what it is."""

    where: str
    line: int
    path: Path
    text: str

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        return f"{place}: {printed(self.path)}: {self.text}" if self.path else f"{place}: {self.text}"


def faults(file: BuildFile, substitutions: Mapping[str, str], *, triggered: bool = False) -> list[Fault]:
    """Return what is wrong with the build and the substitutions given for it, in the order of the lines.

    `triggered`: substitutions are matched loosely, as in a build that a trigger starts.
    """
    form = shape.check(file.build)

    def written(found: Problem) -> Problem:
        return Problem(form.written(found.path), found.text)

    meant = merged(form.meant, substitutions, triggered=triggered)
    of_form = [*form.faults, *_of_gcloud(file.build), *map(written, schema.check(form.meant))]
    of_rules = list(map(written, problems(meant)))
    told = {found.path for found in of_rules}
    # That a badly named key is not used either follows from its name.
    of_rules += [found for found in map(written, undefined(meant)) if found.path not in told]
    found = [
        _placed(file, problem, substitutions)
        for problem in dict.fromkeys(_told_once(file, of_form, of_rules))
    ]
    ranks = {path: rank for rank, path in enumerate(file.lines)}
    return sorted(found, key=lambda fault: (fault.line == 0, fault.line, ranks.get(fault.path, len(ranks))))


def _told_once(file: BuildFile, of_form: list[Problem], of_rules: list[Problem]) -> list[Problem]:
    """Leave out what two checkers say of one place.

    The form goes first, since a value of the wrong form says nothing more; what is missing, the rules say better.
    """
    told = {found.path for found in of_rules}
    first: dict[Path, Problem] = {}
    for found in of_form:
        if found.path in file.lines or found.path not in told:
            first.setdefault(found.path, found)
    return [*first.values(), *(found for found in of_rules if found.path not in first)]


def merged(build: Json, substitutions: Mapping[str, str], *, triggered: bool) -> Json:
    """Return the build with the substitutions given for it, which go before its own."""
    result = dict(build)
    if substitutions:
        result["substitutions"] = {**part(build, "substitutions"), **substitutions}
    if triggered:
        result["options"] = {**part(build, "options"), "substitutionOption": "ALLOW_LOOSE"}
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


def _of_gcloud(build: Json) -> list[Problem]:
    """Return what gcloud itself refuses in a file before it asks Google."""
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
