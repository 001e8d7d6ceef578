"""List calls: filter expressions over builds, and pages. Pure.

Covered: comparisons joined by AND, over the fields that Google's page "View build results" and the discovery document name.
Not covered, and refused rather than guessed at: OR, NOT, parentheses, any other field.
"""

from __future__ import annotations

import base64
import binascii
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.cloudbuild.problem import Json
from localcloud.errors import ApiError, invalid

_DEFAULT_SIZE = 50
_LARGEST_SIZE = 1000

_FIELDS = {
    "build_id": ("id",),
    "id": ("id",),
    "status": ("status",),
    "tags": ("tags",),
    "images": ("images",),
    "trigger_id": ("buildTriggerId",),
    "create_time": ("createTime",),
    "start_time": ("startTime",),
    "finish_time": ("finishTime",),
    "source.storage_source.bucket": ("source", "storageSource", "bucket"),
    "source.storage_source.object": ("source", "storageSource", "object"),
    "source.storage_source.generation": ("source", "storageSource", "generation"),
    "source.repo_source.repo_name": ("source", "repoSource", "repoName"),
    "source.repo_source.branch_name": ("source", "repoSource", "branchName"),
    "source.repo_source.tag_name": ("source", "repoSource", "tagName"),
    "source.repo_source.commit_sha": ("source", "repoSource", "commitSha"),
}
_TIMES = frozenset({"create_time", "start_time", "finish_time"})
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_][\w.]*)\s*(?P<op>!=|<=|>=|=|<|>)\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()"']+)\s*"""
)
_AND = re.compile(r"AND\b")


@dataclass(frozen=True)
class _Term:
    field: str
    op: str
    value: str

    def holds(self, build: Json) -> bool:
        actual: Any = build
        for key in _FIELDS[self.field]:
            actual = actual.get(key) if isinstance(actual, dict) else None
        if isinstance(actual, list):  # tags="x" is true where x is one of them
            return (self.value in actual) == (self.op == "=")
        if self.field in _TIMES:
            return actual is not None and _COMPARISONS[self.op](_moment(actual), _moment(self.value))
        return _COMPARISONS[self.op]("" if actual is None else str(actual), self.value)


@dataclass(frozen=True)
class Page:
    """One page of builds, and the token for the next one (None: that was the last)."""

    builds: list[Json]
    next_token: str | None


def page(builds: Sequence[Json], params: Mapping[str, str]) -> Page:
    """Return the page that `filter`, `pageSize` and `pageToken` select; `builds` are in order. ApiError 400 when one is bad."""
    expression = params.get("filter", "")
    terms = _terms(expression)
    chosen = [build for build in builds if all(term.holds(build) for term in terms)]
    first = _first(chosen, params.get("pageToken", ""))
    size = _size(params.get("pageSize", ""))
    shown = chosen[first : first + size]
    return Page(shown, _token(shown[-1]) if first + size < len(chosen) else None)


def _terms(expression: str) -> list[_Term]:
    terms: list[_Term] = []
    rest = expression
    while rest.strip():
        found = _TERM.match(rest)
        if found is None:
            raise _bad(
                expression, 'it must be comparisons such as tags="x" or status="WORKING", joined by AND'
            )
        terms.append(_term(expression, found["field"], found["op"], _unquoted(found["value"])))
        rest = rest[found.end() :]
        joined = _AND.match(rest)
        if rest and (joined is None or not rest[joined.end() :].strip()):
            raise _bad(expression, "comparisons are joined by AND; OR, NOT and parentheses are not supported")
        rest = rest[joined.end() :] if joined else rest
    return terms


def _term(expression: str, field: str, op: str, value: str) -> _Term:
    if field not in _FIELDS:
        raise _bad(expression, f'there is no field "{field}" to filter by; there are {", ".join(_FIELDS)}')
    if field not in _TIMES and op not in {"=", "!="}:
        raise _bad(expression, f'"{field}" can only be compared by = and !=')
    if field in _TIMES:
        try:
            _moment(value)
        except ValueError:
            raise _bad(expression, f'"{value}" is no time such as "2026-07-01T00:00:00Z"') from None
    return _Term(field, op, value)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] in {'"', "'"} else value


def _bad(expression: str, why: str) -> ApiError:
    return invalid(f"invalid list filter '{expression}': {why}")


def _size(text: str) -> int:
    size = int(text or 0)
    if size < 0:
        raise invalid(f"invalid value for 'page_size': {size}; it must not be negative")
    return min(size or _DEFAULT_SIZE, _LARGEST_SIZE)


def _token(last: Json) -> str:
    """Name the last build shown, so that builds made since then shift nothing."""
    return base64.urlsafe_b64encode(last["id"].encode()).decode()


def _first(builds: Sequence[Json], token: str) -> int:
    if not token:
        return 0
    try:
        last = base64.urlsafe_b64decode(token).decode()
        return [build["id"] for build in builds].index(last) + 1
    except (ValueError, binascii.Error):
        raise invalid("invalid value for 'page_token': the page token is not valid") from None
