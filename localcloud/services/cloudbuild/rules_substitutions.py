"""Substitutions: their places in a build, their checks, and the build with their values. Pure.

`$NAME` and `${NAME}` are references where NAME is of capitals, digits and underscores; `$NAME` takes the longest such
name, so `$STATE` and `$State` both begin with a reference. `$$` is a dollar sign. Any other dollar sign stands for
itself: `$(date)`, `$lower`, `${unclosed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from localcloud.services.cloudbuild import rules_dynamic
from localcloud.services.cloudbuild.names import BUILTIN_KEYS, EMPTY_KEYS, TRIGGER_KEYS, USER_KEY
from localcloud.services.cloudbuild.problem import Json, Path, Problem, objects, part

__all__ = ["TRIGGER_KEYS", "apply", "builtin", "has_reference", "step_variables", "undefined"]

_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<braced>[A-Z_][A-Z0-9_]*)\}|(?P<bare>[A-Z_][A-Z0-9_]*))")

_EACH = "*"
_FIELDS: tuple[Sequence[str], ...] = (
    ("steps", _EACH, "name"),
    ("steps", _EACH, "args", _EACH),
    ("steps", _EACH, "env", _EACH),
    ("steps", _EACH, "dir"),
    ("steps", _EACH, "entrypoint"),
    ("images", _EACH),
    ("tags", _EACH),
    ("serviceAccount",),
    ("options", "env", _EACH),
    ("artifacts", "images", _EACH),
    ("availableSecrets", "secretManager", _EACH, "versionName"),
)
"""The covered fields that take substitutions. `script`, `id` and `waitFor` take none."""


def builtin(
    *, project: str, project_number: str, location: str, build_id: str, service_account_email: str
) -> dict[str, str]:
    """Return the substitutions that every build has."""
    return {
        "PROJECT_ID": project,
        "PROJECT_NUMBER": project_number,
        "LOCATION": location,
        "BUILD_ID": build_id,
        "SERVICE_ACCOUNT_EMAIL": service_account_email,
        "SERVICE_ACCOUNT": f"projects/{project}/serviceAccounts/{service_account_email}",
    }


def has_reference(value: str) -> bool:
    """True if the text has a substitution in it, so that its final form is not known yet."""
    return any(key for _, key in _references((), value))


def undefined(build: Json) -> list[Problem]:
    """Return the faults of keys that are used and not given, or given and not used.

    With ALLOW_LOOSE, only names that no build can have: Google refuses those there too.
    """
    given = _given(build)
    used = [*_used(build), *rules_dynamic.used(build)]
    found = [problem for path, key in used if (problem := _unknown(path, key, given))]
    if part(build, "options").get("substitutionOption") == "ALLOW_LOOSE":
        return [problem for problem, wrong in found if wrong]
    names = {key for _, key in used}
    unused = [] if _automaps(build) else [key for key in given if key not in names]
    return [problem for problem, _ in found] + [
        Problem(
            ("substitutions", key), f'key "{key}" in the substitution data is not matched in the template'
        )
        for key in unused
    ]


def _unknown(path: Path, key: str, given: Mapping[str, str]) -> tuple[Problem, bool] | None:
    """Return the problem with a used key, and True if it stays one with ALLOW_LOOSE; None without a problem."""
    if key in given or key in BUILTIN_KEYS:
        return None
    if USER_KEY.fullmatch(key):
        return Problem(path, f'key in the template "{key}" is not matched in the substitution data'), False
    words = f'key in the template "{key}" is not a valid built-in substitution'
    return Problem(
        path, f"invalid value for 'build.substitutions': {words}; write $${key} for a shell's own"
    ), True


def apply(build: Json, values: Mapping[str, str]) -> Json:
    """Return the build with every reference replaced; unknown ones become "".

    `values` are the built-in ones (`builtin`); the build's own `substitutions` go before them.
    """
    known = _values(build, values)

    def replace(value: str) -> str:
        return _REFERENCE.sub(
            lambda m: "$" if m["escaped"] else known.get(m["braced"] or m["bare"], ""), value
        )

    result: Json = _replaced(build, _FIELDS, replace)
    if given := _given(build):
        result["substitutions"] = {**build["substitutions"], **{key: known[key] for key in given}}
    return result


def step_variables(build: Json, step: Json, values: Mapping[str, str]) -> dict[str, str]:
    """Return the additions of `automapSubstitutions` to a step's environment: every substitution with a value.

    `build` and `step` are those that were submitted: what `apply` returned has its values evaluated already.
    """
    return dict(_values(build, values)) if _automapped(build, step) else {}


def _values(build: Json, values: Mapping[str, str]) -> Mapping[str, str]:
    return rules_dynamic.resolve(build, {**dict.fromkeys(EMPTY_KEYS, ""), **values, **_given(build)})


def _given(build: Json) -> dict[str, str]:
    return {key: value for key, value in part(build, "substitutions").items() if isinstance(value, str)}


def _automaps(build: Json) -> bool:
    return any(_automapped(build, step) for _, step in objects(build, "steps"))


def _automapped(build: Json, step: Json) -> bool:
    return bool(step.get("automapSubstitutions", part(build, "options").get("automapSubstitutions", False)))


def _used(build: Json) -> Iterator[tuple[Path, str]]:
    for field in _FIELDS:
        for path, value in _found(build, field, ()):
            yield from _references(path, value)


def _references(path: Path, value: str) -> Iterator[tuple[Path, str]]:
    for match in _REFERENCE.finditer(value):
        if key := match["braced"] or match["bare"]:
            yield path, key


def _found(value: Any, field: Sequence[str], path: Path) -> Iterator[tuple[Path, str]]:
    if not field:
        if isinstance(value, str):
            yield path, value
        return
    for key in _keys(value, field[0]):
        yield from _found(value[key], field[1:], (*path, key))


def _keys(value: Any, wanted: str) -> Sequence[Any]:
    if isinstance(value, list):
        return range(len(value)) if wanted == _EACH else ()
    if isinstance(value, dict):
        return tuple(value) if wanted == _EACH else (wanted,) if wanted in value else ()
    return ()


def _replaced(value: Any, fields: Sequence[Sequence[str]], replace: Callable[[str], str]) -> Any:
    """Return a copy of `value` with the texts at `fields` replaced."""
    if isinstance(value, str):
        return replace(value) if () in [tuple(field) for field in fields] else value
    if isinstance(value, list):
        below = [field[1:] for field in fields if field and field[0] == _EACH]
        return [_replaced(item, below, replace) for item in value]
    if isinstance(value, dict):
        return {
            key: _replaced(item, [f[1:] for f in fields if f and f[0] in {_EACH, key}], replace)
            for key, item in value.items()
        }
    return value
