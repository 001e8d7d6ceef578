"""The rules of a build that no schema checks. All faults are found at once, in the order of the file. Pure.

The words are Google's where they are known: from reports of refused builds, else from Google's own local builder. What
follows them names the step and the accepted values. A text that still has a substitution in it is not judged
by its form or length: ask again about the build that `rules_substitutions.apply` returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localcloud.services.cloudbuild import (
    rules_dynamic,
    rules_options,
    rules_outputs,
    rules_secrets,
    rules_steps,
)
from localcloud.services.cloudbuild.names import (
    ACCOUNT_KEYS,
    MAX_SUBSTITUTIONS,
    MAX_VALUE_LENGTH,
    TRIGGER_KEYS,
    USER_KEY,
)
from localcloud.services.cloudbuild.problem import Json, Path, Problem, part
from localcloud.services.cloudbuild.rules_graph import order_problems

__all__ = ["Problem", "problems"]


def problems(build: Json, *, substituted: bool = False) -> list[Problem]:
    """Return all faults of the build, in order of place. Never raises; skips values of a wrong type.

    `substituted` says that this is the build as `rules_substitutions.apply` returned it: arguments have their final
    length, and values of substitutions are evaluated.
    """
    listed = build.get("steps") or []
    steps = [step if isinstance(step, dict) else {} for step in listed] if isinstance(listed, list) else []
    found = [
        *_no_steps(listed),
        *rules_steps.problems(build, substituted=substituted),
        *order_problems(steps),
        *rules_secrets.problems(build, steps),
        *_keys(build),
        *(() if substituted else rules_dynamic.problems(build)),
        *rules_options.problems(build),
        *rules_outputs.problems(build),
    ]
    return sorted(found, key=lambda problem: _place(build, problem.path))


def _no_steps(steps: Any) -> Iterator[Problem]:
    if not steps:
        yield Problem(("steps",), "invalid .steps field: no build steps are specified")


def _keys(build: Json) -> Iterator[Problem]:
    given = part(build, "substitutions")
    own = [key for key in given if USER_KEY.fullmatch(key)]
    if len(own) > MAX_SUBSTITUTIONS:
        words = f"number of substitutions {len(own)} exceeded (max: {MAX_SUBSTITUTIONS})"
        yield Problem(("substitutions",), f"invalid .substitutions field: {words}")
    for key, value in given.items():
        path = ("substitutions", key)
        if key not in own and key not in TRIGGER_KEYS | ACCOUNT_KEYS:
            words = f'substitution key "{key}" does not respect format "^_[A-Z0-9_]+$"'
            last = "and is not an overridable built-in substitutions"
            yield Problem(path, f"invalid .substitutions field: {words} {last}")
        if isinstance(value, str) and _size(value) > MAX_VALUE_LENGTH:
            words = f'substitution value of "{key}" too long (max: {MAX_VALUE_LENGTH})'
            yield Problem(path, f"invalid .substitutions field: {words}")


def _size(value: str) -> int:
    """Return the size in bytes; JSON can hold halves of surrogate pairs, which UTF-8 proper has no bytes for."""
    return len(value.encode(errors="surrogatepass"))


def _place(build: Json, path: Path) -> tuple[int, ...]:
    """Return the position of a path in the written build; a missing path comes last."""
    place: list[int] = []
    value: Any = build
    for key in path:
        if isinstance(value, dict):
            place.append(list(value).index(key) if key in value else len(value))
            value = value.get(key)
        else:
            place.append(key if isinstance(key, int) else 0)
            value = (
                value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
            )
    return tuple(place)
