"""What Cloud Build refuses in volumes, of a step and of all steps. Pure."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from localcloud.cloudbuild.problem import Json, Path, Problem, objects, part, step_name, text

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_RESERVED = ("/workspace", "/builder/home", "/builder/outputs", "/var/run/docker.sock")


def problems(build: Json, steps: Sequence[Json]) -> Iterator[Problem]:
    """Yield what is wrong with volumes, alone and between steps."""
    options = part(build, "options")
    everywhere = [volume for _, volume in objects(options, "volumes")]
    if everywhere and len(steps) == 1:
        words = "Global volumes defined but there are fewer than two steps"
        yield Problem(("options", "volumes"), f"invalid .options.volumes: {words}")
    yield from _listed(("options", "volumes"), "invalid .options.volumes", options)
    uses = Counter(
        name for step in steps for name in {text(volume, "name") for _, volume in objects(step, "volumes")}
    )
    for index, step in enumerate(steps):
        start = f"invalid .steps field: {step_name(index, step)}"
        path = ("steps", index, "volumes")
        yield from _listed(path, start, step)
        for number, volume in objects(step, "volumes"):
            yield from _shared((*path, number), start, volume, everywhere)
            if uses[text(volume, "name")] == 1:
                words = f'Volume "{text(volume, "name")}" is only used by one step; a volume must be used by at least two'
                yield Problem((*path, number, "name"), f"{start}: {words}")


def _listed(path: Path, start: str, owner: Json) -> Iterator[Problem]:
    names: set[str] = set()
    paths: set[str] = set()
    for number, volume in objects(owner, "volumes"):
        name, where = text(volume, "name"), _clean(volume)
        yield from _alone((*path, number), start, volume)
        if name in names:
            words = f'volume name "{name}" is defined in more than one volume entry'
            yield Problem((*path, number, "name"), f"{start}: {words}")
        if where in paths:
            words = f'volume path "{where}" is defined in more than one volume entry'
            yield Problem((*path, number, "path"), f"{start}: {words}")
        names.add(name)
        paths.add(where)


def _alone(path: Path, start: str, volume: Json) -> Iterator[Problem]:
    name, where = text(volume, "name"), _clean(volume)
    if not _NAME.fullmatch(name):
        yield Problem((*path, "name"), f'{start}: volume name "{name}" does not match "^{_NAME.pattern}$"')
    written = text(volume, "path")
    if not where.startswith("/"):
        words = f'path "{written}" of volume "{name}" is not valid, must be absolute'
        yield Problem((*path, "path"), f"{start}: {words}")
    elif where in _RESERVED:
        words = f'path "{written}" of volume "{name}" is reserved; reserved are {", ".join(_RESERVED)}'
        yield Problem((*path, "path"), f"{start}: {words}")
    elif where.startswith("/cloudbuild/"):
        words = f'volume path "{written}" of volume "{name}" cannot start with /cloudbuild/'
        yield Problem((*path, "path"), f"{start}: {words}")


def _shared(path: Path, start: str, volume: Json, everywhere: Sequence[Json]) -> Iterator[Problem]:
    name, where = text(volume, "name"), _clean(volume)
    if name in {text(other, "name") for other in everywhere}:
        yield Problem((*path, "name"), f'{start}: volume name "{name}" conflicts with global volume')
    if where in {_clean(other) for other in everywhere}:
        yield Problem((*path, "path"), f'{start}: volume path "{where}" conflicts with global volume')


def _clean(volume: Json) -> str:
    return posixpath.normpath(text(volume, "path"))
