"""Lists of builds: order, pages and filters."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.cloudbuild.filters import page
from localcloud.errors import ApiError
from localcloud.iam import PROJECT
from tests.localcloud.cloudbuild.world import Json, World, one


def build(number: int, **fields: object) -> Json:
    return {"id": f"b{number}", "status": "SUCCESS", "createTime": f"2026-07-0{number}T00:00:00.5Z", **fields}


SOURCE = {"storageSource": {"bucket": "sources", "object": "x.tgz"}}
BUILDS = [
    build(4, status="WORKING", tags=["nightly", "team-a"]),
    build(3, source=SOURCE),
    build(2, tags=["team-a"], buildTriggerId="t"),
    build(1, status="FAILURE", images=["gcr.io/p/i"]),
]


def ids(**params: str) -> list[str]:
    return [build["id"] for build in page(BUILDS, params).builds]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("", ["b4", "b3", "b2", "b1"], id="no filter"),
        pytest.param('tags="team-a"', ["b4", "b2"], id="one tag"),
        pytest.param('tags = "team-a" AND tags="nightly"', ["b4"], id="two tags"),
        pytest.param('tags!="team-a"', ["b3", "b1"], id="not a tag"),
        pytest.param('status="WORKING"', ["b4"], id="status"),
        pytest.param("status=FAILURE", ["b1"], id="status without quotes"),
        pytest.param('status!="SUCCESS" AND build_id!="b1"', ["b4"], id="two that are not"),
        pytest.param('create_time>"2026-07-02T00:00:01Z"', ["b4", "b3"], id="created after"),
        pytest.param(
            'create_time<="2026-07-02T02:00:00.5+02:00"', ["b2", "b1"], id="created until, with an offset"
        ),
        pytest.param('finish_time<"2030-01-01T00:00:00Z"', [], id="finished before"),
        pytest.param("trigger_id=t", ["b2"], id="trigger"),
        pytest.param('images="gcr.io/p/i"', ["b1"], id="image"),
        pytest.param("source.storage_source.object='x.tgz'", ["b3"], id="object of the source"),
        pytest.param('source.storage_source.bucket="other"', [], id="bucket of the source"),
        pytest.param("build_id=b2", ["b2"], id="build ID"),
    ],
)
def test_filters(expression: str, expected: list[str]) -> None:
    assert ids(filter=expression) == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tags", "it must be comparisons"),
        ('tags="a" OR tags="b"', "OR, NOT and parentheses"),
        ('tags="a" tags="b"', "joined by AND"),
        ('tags="a" AND', "joined by AND"),
        ('(tags="a")', "it must be comparisons"),
        ('NOT tags="a"', "it must be comparisons"),
        ('colour="red"', 'there is no field "colour"'),
        ('status>"A"', "can only be compared by = and !="),
        ('create_time>"yesterday"', '"yesterday" is no time'),
        ('create_time>"2026-07-01T00:00:00"', "is no time"),
    ],
)
def test_what_is_no_filter_is_refused(expression: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        ids(filter=expression)
    assert caught.value.status == 400
    assert words in caught.value.message


def test_pages_go_on_where_the_last_one_ended() -> None:
    first = page(BUILDS, {"pageSize": "3"})
    assert [build["id"] for build in first.builds] == ["b4", "b3", "b2"]
    newer = [build(5), *BUILDS]
    rest = page(newer, {"pageSize": "3", "pageToken": first.next_token or ""})
    assert ([build["id"] for build in rest.builds], rest.next_token) == (["b1"], None)


@pytest.mark.parametrize(
    "params",
    [{"pageToken": "x"}, {"pageToken": "eA=="}, {"pageSize": "-1"}],
    ids=["token of nobody", "token of another form", "negative size"],
)
def test_bad_pages_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        page(BUILDS, params)


def test_the_client_pages_and_filters(world: World) -> None:
    made = [world.start(one("true", tags=[f"n{number % 2}"])) for number in range(5)]
    for build_id in made:
        world.ended(build_id)
    client = world.client()
    pages = client.list_builds(request={"project_id": PROJECT, "page_size": 2}).pages
    assert [[build.id for build in found.builds] for found in pages] == [
        made[4:2:-1],
        made[2:0:-1],
        made[:1],
    ]
    odd = client.list_builds(project_id=PROJECT, filter='tags="n1" AND status="SUCCESS"')
    assert [build.id for build in odd] == [made[3], made[1]]
    with pytest.raises(BadRequest, match="invalid list filter"):
        client.list_builds(project_id=PROJECT, filter="x OR y")
