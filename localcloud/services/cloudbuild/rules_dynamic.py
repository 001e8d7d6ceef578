"""`dynamicSubstitutions`: values of substitutions that refer to others, by bash's parameter expansions. Pure.

Google evaluates them before it looks at the steps: `${X}` and `${X:-default}`, where a default may refer to others.
Bash's other expansions are not covered, and neither are very deep ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from localcloud.services.cloudbuild.names import MAX_VALUE_LENGTH
from localcloud.services.cloudbuild.problem import Json, Path, Problem, part

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_DEFAULT = ":-"
# Defaults in defaults: a deeper value is not covered.
_MAX_LEVELS = 50


@dataclass(frozen=True)
class Expansion:
    """`${name:-default}`; without a default, the plain value."""

    name: str
    default: Template = ()


Template = tuple["str | Expansion", ...]


class BadSyntaxError(ValueError):
    """A value has a parameter expansion that is not covered; the text names it."""


def not_covered(build: Json) -> Iterator[tuple[str, str]]:
    """Yield the key of each value with another expansion, and a sentence about it."""
    for key, value in _dynamic(build).items():
        try:
            parse(value)
        except BadSyntaxError as error:
            yield key, str(error)


def problems(build: Json) -> list[Problem]:
    """Return the faults of values: references to themselves."""
    graph: dict[str, set[str]] = {}
    for (_, key), name in used(build):
        graph.setdefault(str(key), set()).add(name)
    return [
        Problem(
            ("substitutions", key),
            f"invalid value for 'build.substitutions': [{key} -> {value}]: cycle in evaluating substitutions",
        )
        for key, value in _dynamic(build).items()
        if key in graph and _reaches(graph, key)
    ]


def used(build: Json) -> Iterator[tuple[Path, str]]:
    """Yield each name that a value refers to, with the value's path; values that are not covered are skipped."""
    for key, value in _dynamic(build).items():
        try:
            template = parse(value)
        except BadSyntaxError:
            continue
        for name in names(template):
            yield ("substitutions", key), name


def resolve(build: Json, values: Mapping[str, str]) -> dict[str, str]:
    """Return `values`, with the build's own evaluated if it asks for that.

    Faulty ones are empty. A value over the limit is cut, one character above it.
    """
    own = _dynamic(build)
    result = {key: value for key, value in values.items() if key not in own}

    def value_of(name: str, below: frozenset[str]) -> str:
        if name in own and name not in result and name not in below:
            try:
                template = parse(own[name])
            except BadSyntaxError:
                return ""
            value = _evaluate(template, lambda other: value_of(other, below | {name}))
            result[name] = value[: MAX_VALUE_LENGTH + 1]  # too long: the rules refuse it
        return result.get(name, "")

    for key in _referred_first(build):
        value_of(key, frozenset())
    return {key: result.get(key, "") for key in values}


def parse(value: str) -> Template:
    """Return the parts of a value; raises BadSyntaxError."""
    return _parse(value, 0, "", 0)[0]


def names(template: Template) -> Iterator[str]:
    """Yield every name that the template refers to, arguments included."""
    for piece in template:
        if isinstance(piece, Expansion):
            yield piece.name
            yield from names(piece.default)


def _dynamic(build: Json) -> dict[str, str]:
    if not part(build, "options").get("dynamicSubstitutions"):
        return {}
    return {key: value for key, value in part(build, "substitutions").items() if isinstance(value, str)}


def _reaches(graph: Mapping[str, set[str]], start: str) -> bool:
    """True if `start` refers to itself, directly or through others."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        if (name := ahead.pop()) not in seen:
            seen.add(name)
            ahead.extend(graph.get(name, ()))
    return start in seen


def _referred_first(build: Json) -> list[str]:
    """Return the keys, each after those that its value refers to; those of a cycle come last.

    So the evaluation of a long chain of values does not nest.
    """
    waiting: dict[str, set[str]] = {key: set() for key in _dynamic(build)}
    for (_, key), name in used(build):
        waiting[str(key)].add(name)
    ordered: list[str] = []
    while ready := [key for key, needed in waiting.items() if not needed & waiting.keys()]:
        ordered += ready
        waiting = {key: needed for key, needed in waiting.items() if key not in ready}
    return [*ordered, *waiting]


def _parse(value: str, at: int, until: str, level: int) -> tuple[Template, int]:
    """Read up to one of the characters `until`, or to the end; return the parts and the position of the stop."""
    pieces: list[str | Expansion] = []
    while at < len(value) and value[at] not in until:
        if value.startswith("$$", at):
            pieces.append("$")
            at += 2
        elif value.startswith("${", at):
            expansion, at = _expansion(value, at + 2, level + 1)
            pieces.append(expansion)
        elif value[at] == "$" and (name := _NAME.match(value, at + 1)):
            pieces.append(Expansion(name[0]))
            at = name.end()
        else:
            # In a default, a backslash protects the brace that would end it.
            at += int(bool(until) and value.startswith("\\}", at))
            pieces.append(value[at])
            at += 1
    return tuple(pieces), at


def _expansion(value: str, at: int, level: int) -> tuple[Expansion, int]:
    """Read what follows `${`, up to and with its `}`."""
    name = _NAME.match(value, at)
    if name is None:
        raise _bad(value, at)
    end = name.end()
    default: Template = ()
    if value.startswith(_DEFAULT, end):
        if level > _MAX_LEVELS:
            raise BadSyntaxError(f"it has more than {_MAX_LEVELS} defaults inside each other")
        default, end = _parse(value, end + len(_DEFAULT), "}", level)
    if not value.startswith("}", end):
        raise _bad(value, at)
    return Expansion(name[0], default), end + 1


def _bad(value: str, at: int) -> BadSyntaxError:
    return BadSyntaxError(f'"{value[at - 2 :]}" begins with neither ${{X}} nor ${{X:-default}}')


def _evaluate(template: Template, value_of: Callable[[str], str]) -> str:
    return "".join(
        value_of(piece.name) or _evaluate(piece.default, value_of) if isinstance(piece, Expansion) else piece
        for piece in template
    )
