"""The rules of one step: its image, arguments, script, environment, directory, time limit. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from localcloud.core.times import seconds
from localcloud.engines.image_names import parse_image
from localcloud.services.cloudbuild.names import (
    DEFAULT_TIMEOUT,
    MAX_ARG_LENGTH,
    MAX_ARGS,
    MAX_TIMEOUT,
)
from localcloud.services.cloudbuild.problem import Json, Path, Problem, objects, step_name, text, texts
from localcloud.services.cloudbuild.rules_durations import fault, printed
from localcloud.services.cloudbuild.rules_environment import env_problems
from localcloud.services.cloudbuild.rules_substitutions import has_reference

_FIELD = "invalid .steps field"


def problems(build: Json, *, substituted: bool) -> Iterator[Problem]:
    """Yield the faults of each single step; lengths of arguments count once they are `substituted`."""
    limit = _limit(text(build, "timeout"))
    for index, step in objects(build, "steps"):
        path, who = ("steps", index), step_name(index, step)
        yield from _image(path, who, step)
        yield from _args(path, step_name(index, step, ""), step, substituted=substituted)
        yield from _script(path, step_name(index, step, ""), step)
        yield from env_problems((*path, "env"), f"{_FIELD}: {who}: ", texts(step, "env"))
        yield from _directory(path, who, step)
        yield from _timeout(path, who, step, limit)


def _limit(timeout: str) -> float:
    """Return the seconds that a build may take; the default for an invalid duration."""
    try:
        return seconds(timeout)
    except ValueError:
        return DEFAULT_TIMEOUT


def _image(path: Path, who: str, step: Json) -> Iterator[Problem]:
    name = text(step, "name")
    if not name and isinstance(step.get("name") or "", str):
        yield Problem((*path, "name"), f"{_FIELD}: {who} must specify name: the image that runs it")
    elif name and not has_reference(name) and parse_image(name) is None:
        words = f'invalid build step name "{name}": could not parse reference: {name}'
        yield Problem(
            (*path, "name"), f"{words} ({who}; an image is REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:DIGEST)"
        )


def _args(path: Path, who: str, step: Json, *, substituted: bool) -> Iterator[Problem]:
    args = texts(step, "args")
    if len(args) > MAX_ARGS:
        yield Problem((*path, "args"), f"{_FIELD}: {who} too many args (max: {MAX_ARGS})")
    for number, arg in args:
        if len(arg) > MAX_ARG_LENGTH and (substituted or "$" not in arg):
            words = f"{who} arg {number} too long (max: {MAX_ARG_LENGTH})"
            yield Problem((*path, "args", number), f"{_FIELD}: {words}")


def _script(path: Path, who: str, step: Json) -> Iterator[Problem]:
    if not step.get("script"):
        return
    for other in ("args", "entrypoint"):
        if step.get(other):
            words = f"{who} both script and {other} provided; a step with a script takes neither entrypoint nor args"
            yield Problem((*path, other), f"{_FIELD}: {words}")


def _directory(path: Path, who: str, step: Json) -> Iterator[Problem]:
    directory = text(step, "dir")
    if posixpath.normpath(directory).split("/")[0] == "..":
        words = f'dir "{directory}" leads out of /workspace; it must be a path below /workspace, or an absolute one'
        yield Problem((*path, "dir"), f"{_FIELD}: {who}: {words}")


def _timeout(path: Path, who: str, step: Json, limit: float) -> Iterator[Problem]:
    value = text(step, "timeout")
    if not value:
        return
    wrong = fault(value, MAX_TIMEOUT)
    if wrong is None and seconds(value) > limit:
        wrong = f'value must be less than or equal to build timeout value of "{printed(limit)}"'
    if wrong:
        yield Problem(
            (*path, "timeout"), f"invalid value for 'build.steps[{path[1]}].timeout': {wrong} ({who})"
        )
