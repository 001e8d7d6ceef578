"""Conditions: what an expression says of a resource, and what is refused."""

from __future__ import annotations

import time

import pytest

from localcloud.core.errors import ApiError
from localcloud.core.iam.conditions import compiled, extracted
from localcloud.core.iam.policies import described

OBJECT = "projects/_/buckets/b/objects/ci/staging/run/x"
BUCKET = "projects/_/buckets/b"
VM = "projects/local-project/zones/us-central1-a/instances/nb-1"
SECRET = "projects/local-project/secrets/s/versions/1"
PROJECT = "projects/local-project"
TOPIC = "projects/local-project/topics/t"
STAGING = 'resource.name.startsWith("projects/_/buckets/b/objects/ci/staging/")'


@pytest.mark.parametrize(
    ("expression", "resource", "holds"),
    [
        pytest.param(STAGING, OBJECT, True, id="below a prefix"),
        pytest.param(STAGING, OBJECT.replace("staging", "results"), False, id="beside a prefix"),
        pytest.param(STAGING, BUCKET, False, id="the bucket itself"),
        pytest.param(f'resource.type != "storage.googleapis.com/Object" || {STAGING}', BUCKET, True, id="not an object"),
        pytest.param(f'resource.type == "storage.googleapis.com/Object" && {STAGING}', OBJECT, True, id="and"),
        pytest.param(f"!({STAGING})", OBJECT, False, id="not"),
        pytest.param('resource.name.extract("/instances/{name}").startsWith("nb-")', VM, True, id="extract to the end"),
        pytest.param('resource.name.extract("/instances/{name}").startsWith("nb-")', VM.replace("nb-", "db-"), False, id="extract another"),
        pytest.param('resource.name.extract("/zones/{zone}/") == "us-central1-a"', VM, True, id="extract between"),
        pytest.param('resource.name.extract("/disks/{name}") == ""', VM, True, id="extract nothing"),
        pytest.param('resource.service == "compute.googleapis.com"', VM, True, id="service"),
        pytest.param('resource.type == "cloudresourcemanager.googleapis.com/Project"', PROJECT, True, id="project"),
        pytest.param('resource.name.startsWith("projects/123456789012/secrets/s/")', SECRET, True, id="secrets have the project's number"),
        pytest.param('resource.name == ""', TOPIC, True, id="a service without names"),
        pytest.param("resource.name.endsWith('x')", OBJECT, True, id="single quotes"),
        pytest.param("true", OBJECT, True, id="constant"),
        pytest.param("false || true && false", OBJECT, False, id="and binds closer than or"),
        pytest.param('"b" == "b"', OBJECT, True, id="two texts"),
        pytest.param("\n" + STAGING.replace("(", "(\n "), OBJECT, True, id="lines"),
    ],
)  # fmt: skip
def test_what_a_condition_says(expression: str, resource: str, *, holds: bool) -> None:
    assert compiled(expression)(described(resource)) is holds


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        pytest.param("", 400, id="empty"),
        pytest.param("resource.name", 400, id="no boolean"),
        pytest.param("resource.name == ", 400, id="half"),
        pytest.param('resource.name.startsWith("a"', 400, id="open parenthesis"),
        pytest.param('resource.name.startsWith("a") resource.name', 400, id="two"),
        pytest.param('resource.name == "a', 400, id="open text"),
        pytest.param("resource == 'a'", 400, id="the resource itself"),
        pytest.param(" || ".join(["true"] * 14), 400, id="13 operators"),
        pytest.param('resource.name == "' + "a" * 5000 + '"', 400, id="too long"),
        pytest.param('request.time < timestamp("2030-01-01T00:00:00Z")', 501, id="time"),
        pytest.param('resource.name.matches("a.*")', 501, id="another function"),
        pytest.param("1 < 2", 501, id="numbers"),
        pytest.param("api.getAttribute('x', [])", 501, id="another root"),
    ],
)
def test_what_is_refused(expression: str, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        compiled(expression)
    assert caught.value.status == status


def test_extraction_takes_the_first_occurrence() -> None:
    assert extracted("/objects/{rest}", "b/objects/a/objects/c") == "a/objects/c"
    assert extracted("{bucket}/objects/", "b/objects/a/objects/c") == "b"
    assert extracted("/a/{x}/b/", "/a/1/2") == ""


def test_reading_a_long_expression_takes_no_time() -> None:
    began = time.process_time()
    for text in ("(" * 4000, "!" * 4000, '"' + "\\" * 4000, "a" * 4000, " " * 4000):
        with pytest.raises(ApiError):
            compiled(text)
    assert time.process_time() - began < 1
