"""Lists of builds: order, pages and filters."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.core.iam import PROJECT
from tests.localcloud.cloudbuild.cloud_fixture import CloudFixture, one


def test_the_client_pages_and_filters(cloud_fixture: CloudFixture) -> None:
    made = [cloud_fixture.start(one("true", tags=[f"n{number % 2}"])) for number in range(5)]
    for build_id in made:
        cloud_fixture.ended(build_id)
    client = cloud_fixture.client()
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


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ('colour="red"', 'there is no field "colour"'),
        ('status>"A"', "can only be compared by = and !="),
        ('create_time>"yesterday"', '"yesterday" is no time'),
    ],
)
def test_unknown_filter_fields_are_refused(cloud_fixture: CloudFixture, expression: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        cloud_fixture.client().list_builds(project_id=PROJECT, filter=expression)
