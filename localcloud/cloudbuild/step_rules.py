"""What Cloud Build refuses in one step: its image, arguments, script, environment, directory, time limit. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from localcloud.cloudbuild.durations import fault, printed, seconds
from localcloud.cloudbuild.environment import env_problems
from localcloud.cloudbuild.names import (
    DEFAULT_TIMEOUT,
    MAX_ARG_LENGTH,
    MAX_ARGS,
    MAX_DIR_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TIMEOUT,
    parse_image,
)
from localcloud.cloudbuild.problem import Json, Path, Problem, objects, step_name, text, texts
from localcloud.cloudbuild.substitutions import has_reference

_FIELD = "invalid .steps field"


def problems(build: Json, *, substituted: bool) -> Iterator[Problem]:
    """Yield what is wrong with each step on its own; lengths of arguments count once they are `substituted`."""
    limit = seconds(text(build, "timeout"))
    for index, step in objects(build, "steps"):
        path, who = ("steps", index), step_name(index, step)
        yield from _image(path, who, step)
        yield from _args(path, step_name(index, step, ""), step, substituted=substituted)
        yield from _script(path, step_name(index, step, ""), step)
        yield from env_problems((*path, "env"), f"{_FIELD}: {who}: ", texts(step, "env"))
        yield from _directory(path, who, step)
        yield from _timeout(path, who, step, DEFAULT_TIMEOUT if limit is None else limit)
        yield from _exit_codes(path, who, step)


def _image(path: Path, who: str, step: Json) -> Iterator[Problem]:
    name = text(step, "name")
    if not name and isinstance(step.get("name") or "", str):
        yield Problem((*path, "name"), f"{_FIELD}: {who} must specify name: the image that runs it")
    elif len(name) > MAX_NAME_LENGTH:
        yield Problem((*path, "name"), f"{_FIELD}: {who} name too long (max: {MAX_NAME_LENGTH})")
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
    if len(directory) > MAX_DIR_LENGTH:
        yield Problem((*path, "dir"), f"{_FIELD}: {who} dir too long (max: {MAX_DIR_LENGTH})")
    if posixpath.normpath(directory).split("/")[0] == "..":
        words = f'dir "{directory}" leads out of /workspace; it must be a path below /workspace, or an absolute one'
        yield Problem((*path, "dir"), f"{_FIELD}: {who}: {words}")


def _timeout(path: Path, who: str, step: Json, limit: float) -> Iterator[Problem]:
    value = text(step, "timeout")
    if not value:
        return
    wrong = fault(value, MAX_TIMEOUT)
    if wrong is None and (seconds(value) or 0) > limit:
        wrong = f'value must be less than or equal to build timeout value of "{printed(limit)}"'
    if wrong:
        yield Problem(
            (*path, "timeout"), f"invalid value for 'build.steps[{path[1]}].timeout': {wrong} ({who})"
        )


def _exit_codes(path: Path, who: str, step: Json) -> Iterator[Problem]:
    codes = step.get("allowExitCodes")
    for number, code in enumerate(codes if isinstance(codes, list) else ()):
        if isinstance(code, int) and code not in range(1, 256):
            words = f"value must be an exit code of 1 to 255, not {code} ({who})"
            place = f"build.steps[{path[1]}].allow_exit_codes[{number}]"
            yield Problem((*path, "allowExitCodes", number), f"invalid value for '{place}': {words}")
