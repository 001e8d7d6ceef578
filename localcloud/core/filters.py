"""Filters of list calls: one language for every service. Pure.

A filter is comparisons joined by AND: `labels.k=v`, `name!="x"`, `status:RUN*`, `create_time>"2026-07-01T00:00:00Z"`,
and Compute Engine's older `name eq regex` and `name ne regex`. Fields may be in snake case or camel case. OR, NOT and
functions are not covered: they are refused, since a guess could return the wrong resources.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.core.errors import ApiError

Json = dict[str, Any]

_TERM = re.compile(
    r"\(?\s*(?P<field>[A-Za-z_][\w.-]*)\s*(?P<op>!=|<=|>=|=|:|<|>|(?<=\s)(?:eq|ne)(?=\s))\s*"
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()"']+)\s*\)?\s*"""
)
_AND = re.compile(r"AND\s+(?=\S)")
_REGEX = frozenset({"eq", "ne"})
_NEGATIONS = frozenset({"!=", "ne"})
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class BadFilter(ValueError):
    """The text is no valid filter; str() says why."""


@dataclass(frozen=True)
class _Term:
    path: Sequence[str]
    op: str
    value: str

    def holds(self, resource: Json) -> bool:
        actual = _look_up(resource, self.path)
        values = actual if isinstance(actual, list) else [] if actual is None else [actual]
        found = any(_compare(_text(value), self.op, self.value) for value in values)
        return not found if self.op in _NEGATIONS else found


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
    hold a time; only these have an order where `fields` is given. `refuse` makes the service's error of the reason.
    """
    try:
        terms = [_term(*found, fields, times) for found in _parsed(expression)]
    except BadFilter as error:
        raise refuse(str(error)) from None
    return [resource for resource in resources if all(term.holds(resource) for term in terms)]


def _parsed(expression: str) -> list[tuple[str, str, str]]:
    """Return field, operator and value of each comparison; raises `BadFilter`."""
    found: list[tuple[str, str, str]] = []
    rest = expression.strip()
    while rest:
        term = _TERM.match(rest)
        if term is None:
            raise BadFilter('it must be comparisons such as tags="x" or status="WORKING", joined by AND')
        found.append((term["field"], term["op"], _unquoted(term["value"])))
        rest = rest[term.end() :]
        joined = _AND.match(rest)
        if rest and joined is None and not (term["op"] in _REGEX and rest.startswith("(")):
            raise BadFilter("comparisons are joined by AND; OR, NOT and nested parentheses are not covered")
        rest = rest[joined.end() :] if joined else rest
    if expression.count("(") != expression.count(")"):
        raise BadFilter("its parentheses do not match")
    if len({op in _REGEX for _, op, _ in found}) > 1:
        raise BadFilter("eq and ne do not go together with other operators")
    return found


def _term(
    field: str, op: str, value: str, fields: Mapping[str, Sequence[str]] | None, times: Collection[str]
) -> _Term:
    if fields is not None and field not in fields:
        raise BadFilter(f'there is no field "{field}" to filter by; there are {", ".join(fields)}')
    if fields is not None and op not in {"=", "!="} and not (field in times and op in _ORDERS):
        raise BadFilter(f'"{field}" can only be compared by = and !=')
    if field in times and _moment(value) is None:
        raise BadFilter(f'"{value}" is no time such as "2026-07-01T00:00:00Z"')
    if op in _REGEX:
        try:
            re.compile(value)
        except re.error as error:
            raise BadFilter(f'"{value}" is no regular expression: {error}') from None
    return _Term(field.split(".") if fields is None else fields[field], op, value)


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


def _compare(actual: str, op: str, value: str) -> bool:
    """Compare a field's value. `:` is presence (`*`), a prefix (`x*`) or equality (docs/facts.md 1.8)."""
    if op in _REGEX:
        return re.fullmatch(value, actual) is not None
    if op == ":":
        return actual.startswith(value[:-1]) if value.endswith("*") else actual == value
    if op in _ORDERS:
        return _ORDERS[op](*_comparable(actual, value))
    return actual == value


def _comparable(first: str, second: str) -> tuple[Any, Any]:
    """Return both values as times or as numbers if both are such, else as texts."""
    for convert in (_moment, _number):
        values = convert(first), convert(second)
        if None not in values:
            return values
    return first, second


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] in {'"', "'"} else value
