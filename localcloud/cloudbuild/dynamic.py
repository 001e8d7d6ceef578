"""`dynamicSubstitutions`: values of substitutions that refer to others, by bash's parameter expansions. Pure.

Google evaluates them before it looks at the steps: `${X:-default}`, `${X:0:7}`, `${X^^}`, `${X,,}`, `${X#p}`, `${X##p}`,
`${X%p}`, `${X%%p}`, `${X/p/r}`, `${X//p/r}`, where p is a shell's glob and defaults and replacements may refer on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from localcloud.cloudbuild.problem import Json, Path, Problem, part

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_RANGE = re.compile(r":(\d+)(?::(\d+))?")
_OPERATORS = (":-", "^^", ",,", "##", "#", "%%", "%", "//", "/")
_KNOWN = (
    "${X}, ${X:-default}, ${X:0:7}, ${X^^}, ${X,,}, ${X#p}, ${X##p}, ${X%p}, ${X%%p}, ${X/p/r}, ${X//p/r}"
)


@dataclass(frozen=True)
class Expansion:
    """`${name operator argument / replacement}`; operator "" is the plain value, ":" cuts out `span`."""

    name: str
    operator: str = ""
    argument: Template = ()
    replacement: Template = ()
    span: tuple[int, int | None] = (0, None)


Template = tuple["str | Expansion", ...]


class BadSyntaxError(ValueError):
    """What stands in a value is no parameter expansion that Cloud Build knows; the text says which."""


def problems(build: Json) -> list[Problem]:
    """Return values whose expansions are not known or refer to themselves."""
    found: list[Problem] = []
    templates: dict[str, Template] = {}
    for key, value in _dynamic(build).items():
        try:
            templates[key] = parse(value)
        except BadSyntaxError as error:
            words = f"[{key} -> {value}]: {error}"
            found.append(Problem(("substitutions", key), f"invalid value for 'build.substitutions': {words}"))
    graph = {key: set(names(template)) for key, template in templates.items()}
    for key, value in _dynamic(build).items():
        if key in graph and _reaches(graph, key):
            words = f"[{key} -> {value}]: cycle in evaluating substitutions"
            found.append(Problem(("substitutions", key), f"invalid value for 'build.substitutions': {words}"))
    return found


def used(build: Json) -> Iterator[tuple[Path, str]]:
    """Yield each name that a value refers to, with where the value stands; values that are wrong count for none."""
    for key, value in _dynamic(build).items():
        try:
            template = parse(value)
        except BadSyntaxError:
            continue
        for name in names(template):
            yield ("substitutions", key), name


def resolve(build: Json, values: Mapping[str, str]) -> dict[str, str]:
    """Return `values` with those of the build's own evaluated, where the build asks for it; wrong ones are empty."""
    own = _dynamic(build)
    result = {key: value for key, value in values.items() if key not in own}

    def value_of(name: str, below: frozenset[str]) -> str:
        if name in own and name not in result and name not in below:
            try:
                template = parse(own[name])
            except BadSyntaxError:
                return ""
            result[name] = _evaluate(template, lambda other: value_of(other, below | {name}))
        return result.get(name, "")

    for key in own:
        value_of(key, frozenset())
    return {key: result.get(key, "") for key in values}


def parse(value: str) -> Template:
    """Return the parts of a value; raises BadSyntaxError."""
    return _parse(value, 0, "")[0]


def names(template: Template) -> Iterator[str]:
    """Yield every name that the template refers to, arguments included."""
    for piece in template:
        if isinstance(piece, Expansion):
            yield piece.name
            yield from names(piece.argument)
            yield from names(piece.replacement)


def _dynamic(build: Json) -> dict[str, str]:
    if not part(build, "options").get("dynamicSubstitutions"):
        return {}
    return {key: value for key, value in part(build, "substitutions").items() if isinstance(value, str)}


def _reaches(graph: Mapping[str, set[str]], start: str) -> bool:
    """Say whether `start` refers to itself, over however many others."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        if (name := ahead.pop()) not in seen:
            seen.add(name)
            ahead.extend(graph.get(name, ()))
    return start in seen


def _parse(value: str, at: int, until: str) -> tuple[Template, int]:
    """Read up to one of the characters `until`, or to the end; return the parts and where the reading stopped."""
    pieces: list[str | Expansion] = []
    while at < len(value) and value[at] not in until:
        if value.startswith("$$", at):
            pieces.append("$")
            at += 2
        elif value.startswith("${", at):
            expansion, at = _expansion(value, at + 2)
            pieces.append(expansion)
        elif value[at] == "$" and (name := _NAME.match(value, at + 1)):
            pieces.append(Expansion(name[0]))
            at = name.end()
        else:
            # In an expansion a backslash and what it protects stay together: what they mean depends on the place.
            size = 2 if until and value[at] == "\\" else 1
            pieces.append(value[at : at + size])
            at += size
    return tuple(pieces), at


def _unescaped(template: Template, only: str = "") -> Template:
    """Drop the backslash of every protected character, or only of those in `only`."""
    return tuple(
        piece[1:]
        if isinstance(piece, str) and piece.startswith("\\") and (not only or piece[1:] in only)
        else piece
        for piece in template
    )


def _expansion(value: str, at: int) -> tuple[Expansion, int]:
    """Read what follows `${`, up to and with its `}`."""
    name = _NAME.match(value, at)
    if name is None:
        raise _bad(value, at)
    end = name.end()
    if cut := _RANGE.match(value, end):
        span = (int(cut[1]), int(cut[2]) if cut[2] else None)
        return _closed(value, at, Expansion(name[0], ":", span=span), cut.end())
    operator = next((known for known in _OPERATORS if value.startswith(known, end)), "")
    end += len(operator)
    argument: Template = ()
    replacement: Template = ()
    if operator not in {"", "^^", ",,"}:
        argument, end = _parse(value, end, "/}" if operator in {"/", "//"} else "}")
    if operator == ":-":
        argument = _unescaped(argument, only="}")
    if value.startswith("/", end) and operator in {"/", "//"}:
        replacement, end = _parse(value, end + 1, "}")
        replacement = _unescaped(replacement)
    return _closed(value, at, Expansion(name[0], operator, argument, replacement), end)


def _closed(value: str, start: int, expansion: Expansion, at: int) -> tuple[Expansion, int]:
    if not value.startswith("}", at):
        raise _bad(value, start)
    return expansion, at + 1


def _bad(value: str, at: int) -> BadSyntaxError:
    return BadSyntaxError(
        f'"{value[at - 2 :]}" begins with no parameter expansion that is supported; these are: {_KNOWN}'
    )


def _evaluate(template: Template, value_of: Callable[[str], str]) -> str:
    return "".join(_expand(piece, value_of) if isinstance(piece, Expansion) else piece for piece in template)


def _expand(expansion: Expansion, value_of: Callable[[str], str]) -> str:
    value = value_of(expansion.name)
    argument = _evaluate(expansion.argument, value_of)
    start, length = expansion.span
    replacement = _evaluate(expansion.replacement, value_of)
    results: dict[str, Callable[[], str]] = {
        "": lambda: value,
        ":-": lambda: value or argument,
        ":": lambda: value[start:] if length is None else value[start : start + length],
        "^^": value.upper,
        ",,": value.lower,
        "/": lambda: _exchanged(value, argument, replacement, most=1),
        "//": lambda: _exchanged(value, argument, replacement, most=len(value)),
    }
    return results.get(expansion.operator, lambda: _trimmed(value, expansion.operator, argument))()


def _trimmed(value: str, operator: str, pattern: str) -> str:
    """Take the shortest (`#`, `%`) or longest (`##`, `%%`) match off the front or the end."""
    glob = _glob(pattern, greedy=operator in {"##", "%%"})
    if operator in {"#", "##"}:
        found = glob.match(value)
        return value[found.end() :] if found else value
    starts = range(len(value) + 1) if operator == "%%" else range(len(value), -1, -1)
    return next((value[:start] for start in starts if glob.fullmatch(value, start)), value)


def _exchanged(value: str, pattern: str, replacement: str, *, most: int) -> str:
    """Replace the first `most` matches; a match of nothing at all does not count."""
    glob, result, at = _glob(pattern, greedy=True), "", 0
    while most and (found := glob.search(value, at)) and found.end() > found.start():
        result += value[at : found.start()] + replacement
        at, most = found.end(), most - 1
    return result + value[at:]


def _glob(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """Return a shell's glob as a regular expression; of several stars, each as long or as short as it can be."""
    star = ".*" if greedy else ".*?"
    written = {"*": star, "?": "."}
    result, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        end = pattern.find("]", at + 2) if character == "[" else -1
        if character == "\\" and at + 1 < len(pattern):
            result += re.escape(pattern[at + 1])
            at += 2
        elif end > 0:
            result += _class(pattern[at + 1 : end])
            at = end + 1
        else:
            result += written.get(character, re.escape(character))
            at += 1
    return re.compile(result, re.DOTALL)


def _class(inside: str) -> str:
    """Return `[abc]`, `[a-z]`, `[!abc]` as a regular expression; a range that runs backwards matches nothing."""
    negated = inside[0] in "!^"
    body = inside[1:] if negated else inside
    written = "[" + "^" * negated + re.sub(r"([\\\]\[^&~|])", r"\\\1", body) + "]"
    try:
        re.compile(written)
    except re.error:
        return "(?!)"
    return written
