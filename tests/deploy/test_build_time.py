"""How long a build may last, as Cloud Build tells its own steps."""

from __future__ import annotations

import threading

import pytest
import requests

from builder.gcp.builds import GoogleBuilds
from builder.ports import BuildTime, CallFailed
from localcloud.iam import PROJECT
from tests.deploy.place import Place

REGION = "us-central1"


def submitted(place: Place, script: str, **more: object) -> str:
    """The id of a build of one step."""
    wanted = {"steps": [{"name": "bash", "args": ["-c", script]}], "options": {"logging": "NONE"}, **more}
    url = f"{place.cloud.url}/v1/projects/{PROJECT}/locations/{REGION}/builds"
    answer = requests.post(url, json=wanted, timeout=10)
    return str(answer.json()["metadata"]["build"]["id"])


def status(place: Place, build: str) -> str:
    return next(str(item["status"]) for item in place.cloud.inventory()["builds"] if item["id"] == build)


def until(place: Place, build: str, wanted: str) -> None:
    for _ in range(1000):
        if status(place, build) == wanted:
            return
        threading.Event().wait(0.01)
    raise AssertionError(status(place, build))


def asked(place: Place, build: str, account: str = "builder") -> BuildTime | None:
    return GoogleBuilds(place.access(account), place.time, budget=5).time(build, REGION)


def test_a_build_at_work_tells_what_is_left_of_its_timeout(place: Place) -> None:
    build = submitted(place, "sleep 60", timeout="1234s")
    until(place, build, "WORKING")
    first = asked(place, build)
    assert first is not None
    assert first.timeout == 1234
    assert 1200 < first.left < 1236  # the answer's Date has whole seconds
    place.cloud.clock.advance(600)
    later = asked(place, build)
    assert later is not None
    assert 595 < first.left - later.left < 640


def test_a_build_that_is_over_has_no_time(place: Place) -> None:
    build = submitted(place, "true")
    until(place, build, "SUCCESS")
    assert asked(place, build) is None


@pytest.mark.parametrize(("build", "account", "code"), [("0-none", "builder", 404), ("0-none", "vm", 403)])
def test_a_refusal_is_told_at_once(place: Place, build: str, account: str, code: int) -> None:
    with pytest.raises(CallFailed) as caught:
        asked(place, build, account)
    assert caught.value.http_status == code
