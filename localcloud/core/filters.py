"""Filters of list calls: one language for every service. Pure.

A filter is comparisons joined by AND: `labels.k=v`, `tags="x"`, `create_time>"2026-07-01T00:00:00Z"`. Other operators,
OR, NOT, parentheses and functions are refused, since a guess could return the wrong resources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.core.errors import ApiError

Json = dict[str, Any]

_TERM = re.compile(
    r"(?P<field>[A-Za-z_][\w.-]*)\s*(?P<op>[=>])(?!=)\s*"
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()"']+)\s*"""
)
_AND = re.compile(r"AND\s+(?=\S)")


class BadFilter(ValueError):
    """The text is no valid filter; str() says why."""


@dataclass(frozen=True)
class _Term:
    """A comparison: equal to a text, or later than a time."""

    path: Sequence[str]
    value: str | datetime

    def holds(self, resource: Json) -> bool:
        actual = _look_up(resource, self.path)
        values = actual if isinstance(actual, list) else [] if actual is None else [actual]
        return any(self._compare(_text(value)) for value in values)

    def _compare(self, actual: str) -> bool:
        if isinstance(self.value, str):
            return actual == self.value
        moment = _moment(actual)
        return moment is not None and moment > self.value


def matching(
    resources: Sequence[Json],
    expression: str,
    refuse: Callable[[str], ApiError],
    *,
    fields: Mapping[str, Sequence[str]] | None = None,
    times: Collection[str] = (),
) -> list[Json]:
    """Return the resources that a filter selects, in their order.

    `fields` gives the path of each field that may be compared (None: any field of a resource). `times` are those that
    hold a time, which are compared by `>`; all others are compared by `=`. `refuse` makes the service's error of the
    reason.
    """
    try:
        terms = [_term(*found, fields, times) for found in _parsed(expression)]
    except BadFilter as error:
        raise refuse(str(error)) from None
    return [resource for resource in resources if all(term.holds(resource) for term in terms)]


def _parsed(expression: str) -> Iterator[tuple[str, str, str]]:
    """Yield field, operator and value of each comparison; raises `BadFilter`."""
    rest = expression.strip()
    while rest:
        term = _TERM.match(rest)
        if term is None:
            raise BadFilter('it must be comparisons such as tags="x", joined by AND')
        yield term["field"], term["op"], _unquoted(term["value"])
        rest = rest[term.end() :]
        joined = _AND.match(rest)
        if rest and joined is None:
            raise BadFilter("comparisons are joined by AND; OR, NOT and parentheses are not covered")
        rest = rest[joined.end() :] if joined else rest


def _term(
    field: str, op: str, value: str, fields: Mapping[str, Sequence[str]] | None, times: Collection[str]
) -> _Term:
    if fields is not None and field not in fields:
        raise BadFilter(f'there is no field "{field}" to filter by; there are {", ".join(fields)}')
    covered = ">" if field in times else "="
    if op != covered:
        raise BadFilter(f'"{field}" can only be compared by {covered}')
    path = field.split(".") if fields is None else fields[field]
    if covered == "=":
        return _Term(path, value)
    moment = _moment(value)
    if moment is None:
        raise BadFilter(f'"{value}" is no time such as "2026-07-01T00:00:00Z"')
    return _Term(path, moment)


def _look_up(resource: object, path: Sequence[str]) -> object:
    """Follow a path. The longest key wins, because the key of a label may contain dots."""
    if not path:
        return resource
    if isinstance(resource, Mapping):
        for length in range(len(path), 0, -1):
            key = ".".join(path[:length])
            if key in resource:
                return _look_up(resource[key], path[length:])
    return None


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] in {'"', "'"} else value
