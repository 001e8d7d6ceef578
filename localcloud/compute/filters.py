"""List calls: filter expressions, order and pages, over resources as they are printed.

Covered: AIP-160 comparisons joined by AND (`labels.k=v`, `labels.k:*`, `name!="x"`, `status=RUNNING`), and the older
`field eq|ne regex`. Not covered, and refused rather than guessed at: OR, NOT, functions.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.errors import ApiError, invalid

Json = dict[str, Any]
_LARGEST_PAGE = 500
_FIELD = r"(?P<field>[A-Za-z_][\w.-]*)"
_VALUE = r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()]+)"""
_AIP = re.compile(rf"{_FIELD}\s*(?P<op>!=|<=|>=|=|:|<|>)\s*{_VALUE}")
_REGEX = re.compile(rf"{_FIELD}\s+(?P<op>eq|ne)\s+{_VALUE}")


@dataclass(frozen=True)
class _Term:
    field: str
    op: str
    value: str

    def holds(self, resource: Json) -> bool:
        actual = _look_up(resource, self.field.split("."))
        if self.op in {"ne", "!="}:
            return not _same(actual, self.value, regex=self.op == "ne")
        if actual is None:
            return False
        if self.op in {"eq", "="}:
            return _same(actual, self.value, regex=self.op == "eq")
        if self.op == ":":
            return _has(_text(actual), self.value)
        return _ordered(_text(actual), self.op, self.value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _look_up(resource: object, path: Sequence[str]) -> object:
    """Follow a dotted path; the longest key wins, since a label's key may hold what looks like a path."""
    if not path:
        return resource
    if isinstance(resource, Mapping):
        for length in range(len(path), 0, -1):
            key = ".".join(path[:length])
            if key in resource:
                return _look_up(resource[key], path[length:])
    return None


def _same(actual: object, value: str, *, regex: bool) -> bool:
    if actual is None:
        return False
    return re.fullmatch(value, _text(actual)) is not None if regex else _text(actual) == value


def _has(actual: str, value: str) -> bool:
    """`:` is presence (`*`), a prefix (`x*`) or equality; on URLs it finds nothing but the whole (docs/facts.md 1.8)."""
    return actual.startswith(value[:-1]) if value.endswith("*") else actual == value


def _ordered(actual: str, op: str, value: str) -> bool:
    order: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    try:
        return order[op](float(actual), float(value))
    except ValueError:
        return order[op](actual, value)


def _unquoted(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def matcher(expression: str) -> Callable[[Json], bool]:
    """Return the predicate that a filter stands for; raises ApiError 400 for what is not a filter."""
    terms: list[_Term] = []
    rest = expression.strip()
    while rest:
        found = _REGEX.match(rest.lstrip("( ")) or _AIP.match(rest.lstrip("( "))
        if found is None:
            raise _bad_filter(expression)
        terms.append(_Term(found["field"], found["op"], _unquoted(found["value"])))
        rest = rest.lstrip("( ")[found.end() :].lstrip(") ")
        joined = re.match(r"AND\s+(?=\S)", rest)
        if rest and not joined and (found["op"] not in {"eq", "ne"} or not rest.startswith("(")):
            raise _bad_filter(expression)
        rest = rest[joined.end() :] if joined else rest
    styles = {term.op in {"eq", "ne"} for term in terms}
    balanced = expression.count("(") == expression.count(")")
    if len(styles) > 1 or not balanced:
        raise _bad_filter(expression)
    _compile_all(expression, terms)
    return lambda resource: all(term.holds(resource) for term in terms)


def _compile_all(expression: str, terms: Iterable[_Term]) -> None:
    try:
        for term in terms:
            if term.op in {"eq", "ne"}:
                re.compile(term.value)
    except re.error as error:
        raise _bad_filter(expression) from error


def _bad_filter(expression: str) -> ApiError:
    return invalid(f"Invalid value for field 'filter': '{expression}'. Invalid list filter expression.")


@dataclass(frozen=True)
class Page:
    """One page of resources, and the token for the next one (None: that was the last)."""

    items: list[Json]
    next_token: str | None


def page(resources: Iterable[Json], params: Mapping[str, str]) -> Page:
    """Return the page that `filter`, `orderBy`, `maxResults` and `pageToken` select; ApiError 400 when one is bad."""
    chosen = [r for r in resources if matcher(params.get("filter", ""))(r)]
    order = params.get("orderBy", "name")
    if order == "creationTimestamp desc":
        chosen.sort(key=lambda r: str(r["creationTimestamp"]), reverse=True)
    elif order in {"name", "name asc", ""}:
        chosen.sort(key=_place)
    else:
        message = f"Invalid value for field 'orderBy': '{order}'. Only 'name' and 'creationTimestamp desc' are supported."
        raise invalid(message)
    first, size = _first(params.get("pageToken", "")), _size(params.get("maxResults"))
    rest = first + size < len(chosen)
    return Page(chosen[first : first + size], _token(first + size) if rest else None)


def _place(resource: Json) -> tuple[str, str]:
    return str(resource["name"]), str(resource.get("zone", ""))


def _size(text: str | None) -> int:
    size = int(text or _LARGEST_PAGE)
    if not 0 <= size <= _LARGEST_PAGE:
        raise invalid(
            f"Invalid value for field 'maxResults': '{size}'. Value must be in the range [0, {_LARGEST_PAGE}]."
        )
    return size or _LARGEST_PAGE


def _token(first: int) -> str:
    return base64.urlsafe_b64encode(f"from {first}".encode()).decode()


def _first(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from "))
    except (ValueError, binascii.Error) as error:
        message = f"Invalid value for field 'pageToken': '{token}'. The page token is not valid."
        raise invalid(message) from error
