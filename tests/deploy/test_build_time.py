"""The time that is left to a build, as Cloud Build answers a step of that build."""

from __future__ import annotations

import pytest
import requests

from builder.gcp.builds import GoogleBuilds
from builder.gcp.rest import Rest
from builder.ports import BuildTime, CallFailed
from localcloud.core.iam import PROJECT
from tests.deploy.cloud_fixture import CloudFixture
from tests.owner import signed
from tests.patience import HANGS, PATIENCE
from tests.polling import eventually

REGION = "us-central1"


def submitted(cloud_fixture: CloudFixture, script: str, **more: object) -> str:
    """The ID of a new build with one step."""
    wanted = {"steps": [{"name": "bash", "args": ["-c", script]}], "options": {"logging": "NONE"}, **more}
    url = f"{cloud_fixture.cloud.url}/v1/projects/{PROJECT}/locations/{REGION}/builds"
    answer = requests.post(url, json=wanted, headers=signed(cloud_fixture.cloud.iam), timeout=PATIENCE)
    return str(answer.json()["metadata"]["build"]["id"])


def status(cloud_fixture: CloudFixture, build: str) -> str:
    return next(
        str(item["status"]) for item in cloud_fixture.cloud.inventory()["builds"] if item["id"] == build
    )


def until(cloud_fixture: CloudFixture, build: str, wanted: str) -> None:
    eventually(lambda: status(cloud_fixture, build) == wanted, lambda: status(cloud_fixture, build))


def asked(cloud_fixture: CloudFixture, build: str, account: str = "notebook-builder") -> BuildTime | None:
    return GoogleBuilds(Rest(cloud_fixture.access(account), cloud_fixture.time, budget=5)).time(build, REGION)


def test_a_running_build_knows_the_rest_of_its_timeout(cloud_fixture: CloudFixture) -> None:
    build = submitted(cloud_fixture, f"sleep {HANGS:.0f}", timeout="1234s")
    until(cloud_fixture, build, "WORKING")
    first = asked(cloud_fixture, build)
    assert first is not None
    assert first.timeout == 1234
    assert 1200 < first.left < 1236  # the answer's Date has whole seconds
    cloud_fixture.cloud.clock.advance(600)
    later = asked(cloud_fixture, build)
    assert later is not None
    assert 595 < first.left - later.left < 640


def test_a_build_that_is_over_has_no_time(cloud_fixture: CloudFixture) -> None:
    build = submitted(cloud_fixture, "true")
    until(cloud_fixture, build, "SUCCESS")
    assert asked(cloud_fixture, build) is None


@pytest.mark.parametrize(
    ("build", "account", "code"), [("0-none", "notebook-builder", 404), ("0-none", "notebook-vm", 403)]
)
def test_a_refusal_is_raised_without_a_retry(
    cloud_fixture: CloudFixture, build: str, account: str, code: int
) -> None:
    with pytest.raises(CallFailed) as caught:
        asked(cloud_fixture, build, account)
    assert caught.value.http_status == code
