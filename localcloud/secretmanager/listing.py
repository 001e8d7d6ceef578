"""List calls: filters and pages over secrets and versions as they are printed.

Covered: comparisons (`name:part`, `labels.k=v`, `labels.k:*`, `state=ENABLED`, `create_time>2026-01-01T00:00:00Z`) joined by
AND and OR, of which OR binds closer. Refused rather than guessed at: NOT, parentheses, words without a field.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.errors import ApiError, invalid, unimplemented
from localcloud.secretmanager.rules import moment

Json = dict[str, Any]

_LARGEST_PAGE = 25_000
_TERM = re.compile(
    r"\s*(?P<field>[A-Za-z_]\w*(?:\.[\w-]+)?)\s*(?P<op><=|>=|!=|[:=<>])\s*"
    r'(?P<value>"(?:[^"\\]|\\.)*"|[^\s()"]+)'
)
_JOIN = re.compile(r"\s+(AND|OR)\s+(?=\S)|\s+(?=\S)")
_TIMES = ("createTime", "expireTime", "destroyTime")
_TEXTS = ("name", "state", "etag")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MAPS = ("labels", "annotations", "versionAliases")


@dataclass(frozen=True)
class _Term:
    path: tuple[str, ...]
    op: str
    value: str

    def holds(self, resource: Json) -> bool:
        actual: Any = resource
        for key in self.path:
            actual = actual.get(key) if isinstance(actual, dict) else None
        if actual is None:
            return self.op == "!="
        if self.op == ":":
            return self.value == "*" or self.value.lower() in str(actual).lower()
        if self.path[0] in _TIMES:
            return _COMPARISONS[self.op](moment(actual), moment(self.value))
        return _COMPARISONS[self.op](str(actual), self.value)


def page(resources: Sequence[Json], params: Mapping[str, str], key: str) -> Json:
    """Return the answer of a list call: the resources under `key`, `nextPageToken` when there are more, `totalSize`.

    Google tells the total only where nothing is filtered out. Raises `ApiError`: 400, or 501 for a filter beyond ours.
    """
    matches = _matcher(params.get("filter", ""))
    chosen = [resource for resource in resources if matches(resource)]
    first, size = _first(params.get("pageToken", "")), _size(params.get("pageSize", "0"))
    answer: Json = {key: chosen[first : first + size]} if chosen[first : first + size] else {}
    if first + size < len(chosen):
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"from {first + size}".encode()).decode()
    if not params.get("filter", "").strip() and chosen:
        answer["totalSize"] = len(chosen)
    return answer


def _matcher(text: str) -> Callable[[Json], bool]:
    """Return the predicate of a filter: any term of every group."""
    groups: list[list[_Term]] = []
    rest, joined = text.strip(), "AND"
    while rest:
        found = _TERM.match(rest)
        if found is None:
            raise unimplemented(f"localcloud does not evaluate the filter '{text}'.")
        term = _term(found, text)
        if joined == "OR":
            groups[-1].append(term)
        else:
            groups.append([term])
        rest = rest[found.end() :]
        following = _JOIN.match(rest)
        if rest and following is None:
            raise _bad_filter(text)
        if following is not None:
            joined, rest = following[1] or "AND", rest[following.end() :]
    return lambda resource: all(any(term.holds(resource) for term in group) for group in groups)


def _term(found: re.Match[str], text: str) -> _Term:
    head, *rest = found["field"].split(".", 1)
    field = re.sub(r"_(\w)", lambda part: part[1].upper(), head)
    value = found["value"]
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    known = field in _MAPS if rest else field in (*_TIMES, *_TEXTS)
    ordered = found["op"] in {"<", "<=", ">", ">="}
    if not known or (ordered and field not in _TIMES):
        raise _bad_filter(text)
    if field in _TIMES and found["op"] != ":":
        moment(value)
    return _Term((field, *rest), found["op"], value)


def _bad_filter(text: str) -> ApiError:
    return invalid(f"Invalid filter: '{text}'.")


def _size(text: str) -> int:
    size = int(text)
    if size < 0:
        raise invalid(f"Invalid page size: {size}. It must not be negative.")
    return min(size, _LARGEST_PAGE) or _LARGEST_PAGE


def _first(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from "))
    except ValueError:
        raise invalid(f"Invalid page token: '{token}'.") from None
