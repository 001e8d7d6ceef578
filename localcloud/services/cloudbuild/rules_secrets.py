"""The rules of secrets: their definitions, their uses, and the match of the two. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from localcloud.services.cloudbuild.names import MAX_SECRETS
from localcloud.services.cloudbuild.problem import Json, Path, Problem, objects, part, step_name, text, texts
from localcloud.services.cloudbuild.rules_environment import env_keys
from localcloud.services.cloudbuild.rules_substitutions import has_reference

_VERSION = re.compile(r"projects/[^/]+/secrets/[a-zA-Z0-9_-]{1,255}/versions/[a-zA-Z0-9_-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELD = "invalid secrets"


def problems(build: Json, steps: Sequence[Json]) -> Iterator[Problem]:
    """Yield the faults of secrets and their use."""
    defined = list(_defined(build))
    yield from _definitions(build, defined)
    used = list(_used(build, steps))
    known = {name for _, name in defined}
    for path, who, name in used:
        if name not in known:
            words = f'secretEnv "{name}" is used without being defined{who}; define it in availableSecrets'
            yield Problem(path, f"{_FIELD}: {words}")
    wanted = {name for _, _, name in used}
    for path, name in defined:
        if name not in wanted:
            words = f'secretEnv "{name}" is defined without being used; name it in a step\'s secretEnv'
            yield Problem(path, f"{_FIELD}: {words}")
    yield from _doubled(build, steps)


def _defined(build: Json) -> Iterator[tuple[Path, str]]:
    """Yield each variable that gets a secret, with the path of its definition."""
    for number, secret in objects(part(build, "availableSecrets"), "secretManager"):
        if name := text(secret, "env"):
            yield ("availableSecrets", "secretManager", number, "env"), name


def _used(build: Json, steps: Sequence[Json]) -> Iterator[tuple[Path, str, str]]:
    """Yield the path of each use of a secret, its user's name, and its variable."""
    for number, name in texts(part(build, "options"), "secretEnv"):
        yield ("options", "secretEnv", number), " by options", name
    for index, step in enumerate(steps):
        for number, name in texts(step, "secretEnv"):
            yield ("steps", index, "secretEnv", number), f" by {step_name(index, step)}", name


def _definitions(build: Json, defined: Sequence[tuple[Path, str]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for path, name in defined:
        if name in seen:
            yield Problem(path, f'{_FIELD}: secretEnv "{name}" is defined more than once')
        if not _VARIABLE.fullmatch(name):
            yield Problem(
                path, f'{_FIELD}: secretEnv "{name}" must be a variable\'s name: {_VARIABLE.pattern}'
            )
        seen.add(name)
    if len(seen) > MAX_SECRETS:
        yield Problem(("availableSecrets",), f"{_FIELD}: build defines more than {MAX_SECRETS} secret values")
    for number, secret in objects(part(build, "availableSecrets"), "secretManager"):
        yield from _secret(("availableSecrets", "secretManager", number), secret)


def _secret(path: Path, secret: Json) -> Iterator[Problem]:
    version = text(secret, "versionName")
    if not has_reference(version) and not _VERSION.fullmatch(version):
        words = (
            f'version name "{version}" must be of the form projects/PROJECT/secrets/SECRET/versions/VERSION'
        )
        yield Problem((*path, "versionName"), f"{_FIELD}: {words}")
    if not text(secret, "env"):
        words = f'secret "{version}" must specify env: the variable that gets its value'
        yield Problem((*path, "env"), f"{_FIELD}: {words}")


def _doubled(build: Json, steps: Sequence[Json]) -> Iterator[Problem]:
    """Yield variables that are named twice, or are both a secret and plain."""
    options = part(build, "options")
    everywhere = texts(options, "secretEnv")
    for number, name in everywhere:
        if name in {other for _, other in everywhere[:number]}:
            words = f'Build uses global secretEnv "{name}" more than once'
            yield Problem(("options", "secretEnv", number), f"{_FIELD}: {words}")
    for index, step in enumerate(steps):
        own = texts(step, "secretEnv")
        plain = env_keys([*texts(options, "env"), *texts(step, "env")])
        for number, name in own:
            path, who = ("steps", index, "secretEnv", number), step_name(index, step)
            if name in {other for at, other in own if at < number}:
                yield Problem(path, f'{_FIELD}: {who} uses the secretEnv "{name}" more than once')
            if name in {other for _, other in everywhere}:
                yield Problem(path, f'{_FIELD}: {who} uses the global secretEnv "{name}"')
            if name in plain:
                yield Problem(path, f'{_FIELD}: {who} has secret and non-secret env "{name}"')
        for name in sorted({other for _, other in everywhere} & plain):
            words = f'{step_name(index, step)} has secret and non-secret env "{name}"'
            yield Problem(("steps", index), f"{_FIELD}: {words}")
