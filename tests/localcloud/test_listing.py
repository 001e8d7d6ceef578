"""Lists: pages and filters, which all services share."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.errors import ApiError, invalid
from localcloud.core.filters import matching
from localcloud.core.listing import page

Json = dict[str, Any]

ITEMS: list[Json] = [
    {"name": "b4", "status": "WORKING", "tags": ["nightly", "team-a"], "created": "2026-07-04T00:00:00.5Z"},
    {"name": "b3", "source": {"object": "x.tgz"}, "created": "2026-07-03T00:00:00.5Z"},
    {"name": "b2", "tags": ["team-a"], "size": 12, "created": "2026-07-02T00:00:00.5Z", "done": False},
    {"name": "b1", "status": "FAILURE", "labels": {"a.b/c": "d", "empty": ""}, "size": 3},
]


def names(expression: str, **more: Any) -> list[str]:
    return [item["name"] for item in matching(ITEMS, expression, invalid, **more)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("", ["b4", "b3", "b2", "b1"], id="no filter"),
        pytest.param('tags="team-a"', ["b4", "b2"], id="one of a list"),
        pytest.param('tags = "team-a" AND tags="nightly"', ["b4"], id="two of a list"),
        pytest.param('tags!="team-a"', ["b3", "b1"], id="not in a list"),
        pytest.param("status=FAILURE", ["b1"], id="without quotes"),
        pytest.param("source.object='x.tgz'", ["b3"], id="nested field"),
        pytest.param("labels.a.b/c=d", [], id="slash in a field"),
        pytest.param("labels.empty:*", ["b1"], id="presence"),
        pytest.param("status:WORK*", ["b4"], id="prefix"),
        pytest.param("done=false", ["b2"], id="boolean"),
        pytest.param("size>3", ["b2"], id="numbers, not texts"),
        pytest.param("size<=12", ["b2", "b1"], id="numbers until"),
        pytest.param('created>"2026-07-02T00:00:01Z"', ["b4", "b3"], id="times"),
        pytest.param('created<="2026-07-02T02:00:00.5+02:00"', ["b2"], id="times with an offset"),
        pytest.param("(name=b1) AND (size=3)", ["b1"], id="parentheses around comparisons"),
        pytest.param("name eq b[12]", ["b2", "b1"], id="regular expression"),
        pytest.param("(name ne b[12]) (status eq W.*)", ["b4"], id="two regular expressions"),
    ],
)  # fmt: skip
def test_filters(expression: str, expected: list[str]) -> None:
    if expression == "labels.a.b/c=d":
        with pytest.raises(ApiError):
            names(expression)
        return
    assert names(expression) == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tags", "it must be comparisons"),
        ('tags="a" OR tags="b"', "OR, NOT and nested parentheses"),
        ('tags="a" tags="b"', "joined by AND"),
        ('tags="a" AND', "joined by AND"),
        ('NOT tags="a"', "it must be comparisons"),
        ("(name=a", "parentheses do not match"),
        ("name=a AND name eq b", "do not go together"),
        ("name eq [", "is no regular expression"),
    ],
)
def test_an_invalid_filter_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        names(expression)
    assert caught.value.status == 400
    assert words in caught.value.message


def test_a_service_may_name_its_fields() -> None:
    fields = {"trigger": ("tags",), "since": ("created",)}
    assert names("trigger=nightly", fields=fields) == ["b4"]
    assert names('since>"2026-07-03T00:00:00Z"', fields=fields, times=["since"]) == ["b4", "b3"]
    for expression in ("name=b1", "trigger>a", "since>soon", "trigger:*"):
        with pytest.raises(ApiError):
            names(expression, fields=fields, times=["since"])


def test_pages_go_on_where_the_last_one_ended() -> None:
    first = page(ITEMS, {"pageSize": "3"}, "items", 10)
    assert [item["name"] for item in first["items"]] == ["b4", "b3", "b2"]
    newer = [{"name": "b5"}, *ITEMS]
    rest = page(newer, {"pageSize": "3", "pageToken": first["nextPageToken"]}, "items", 10)
    assert rest == {"items": [ITEMS[3]]}
    without = page([*ITEMS[:2], ITEMS[3]], {"pageToken": first["nextPageToken"]}, "items", 10)
    assert without == {}


def test_sizes_of_pages() -> None:
    assert len(page(ITEMS, {}, "items", 10, default=2)["items"]) == 2
    assert len(page(ITEMS, {"pageSize": "9"}, "items", 3)["items"]) == 3
    assert page([], {}, "items", 3) == {}


@pytest.mark.parametrize(
    "params",
    [{"pageToken": "x"}, {"pageToken": "eA=="}, {"pageSize": "-1"}, {"pageSize": "11"}],
    ids=["token of nobody", "token of another form", "negative size", "too large"],
)
def test_bad_pages_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        page(ITEMS, params, "items", 10, clamp=False)
