"""The run of functions: concurrent requests, time limits, working directory, and a restart."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud.functions_v2 import types

from localcloud.core.iam import email
from localcloud.engines.function.environments import Environments
from localcloud.engines.function.source import BuildFailed
from localcloud.services.run import serving
from tests.localcloud.functions.conftest import REQUIREMENTS, SERVICE, CloudFixture, Start, result
from tests.owner import signed
from tests.patience import PATIENCE, SOON
from tests.polling import eventually

ALLOW_ALL = types.ServiceConfig.IngressSettings.ALLOW_ALL
BUSY = "no available instance"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time that requests wait for their turn."""
    monkeypatch.setattr(serving, "_PATIENCE", 0.5)


@pytest.mark.usefixtures("impatient")
def test_one_instance_with_one_request_refuses_the_second_until_the_first_is_done(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    cloud_fixture.create(
        build_config__entry_point="wait", service_config__environment_variables={"UNTIL": str(until)}
    )
    cloud_fixture.bind()
    cloud_fixture.publish()
    eventually(lambda: "waiting" in cloud_fixture.log(), cloud_fixture.log)
    cloud_fixture.publish()
    eventually(lambda: BUSY in cloud_fixture.log(), cloud_fixture.log)
    assert cloud_fixture.log().count("waiting") == 1

    until.touch()
    eventually(lambda: cloud_fixture.backlog() == 1, cloud_fixture.log)

    def delivered() -> bool:
        cloud_fixture.cloud.clock.advance(20)
        return cloud_fixture.backlog() == 0

    eventually(delivered, cloud_fixture.log)
    assert cloud_fixture.log().count("waited") == 2


def test_messages_that_come_together_wait_for_their_turn(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create(
        service_config__max_instance_count=1, service_config__max_instance_request_concurrency=1
    )
    cloud_fixture.bind()
    for _ in range(5):
        cloud_fixture.publish()
    eventually(lambda: cloud_fixture.backlog() == 0, cloud_fixture.log)
    assert BUSY not in cloud_fixture.log()


def test_moving_the_clock_waits_for_the_functions_it_triggers(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    cloud_fixture.cloud.clock.call_later(3600, cloud_fixture.publish)
    cloud_fixture.cloud.clock.advance(86_400)
    assert cloud_fixture.backlog() == 0


@pytest.mark.usefixtures("impatient")
def test_the_number_of_instances_limits_parallel_requests(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    cloud_fixture.create(
        build_config__entry_point="wait",
        service_config__max_instance_count=4,
        service_config__environment_variables={"UNTIL": str(until)},
    )
    cloud_fixture.bind()
    for _ in range(5):
        cloud_fixture.publish()
    eventually(
        lambda: BUSY in cloud_fixture.log() and cloud_fixture.log().count("waiting") == 4, cloud_fixture.log
    )
    (service,) = cloud_fixture.cloud.inventory()["run.services"]
    assert service["instances"] == 1
    until.touch()
    eventually(lambda: cloud_fixture.backlog() == 1, cloud_fixture.log)


def test_a_request_that_takes_too_long_is_ended(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    cloud_fixture.create(
        build_config__entry_point="wait",
        service_config__timeout_seconds=1,
        service_config__environment_variables={"UNTIL": str(tmp_path / "never")},
    )
    cloud_fixture.bind()
    cloud_fixture.publish()
    eventually(lambda: "maximum request timeout" in cloud_fixture.log(), cloud_fixture.log)
    assert cloud_fixture.backlog() == 1


def test_an_http_function_answers_its_invokers_only(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create(
        build_config__entry_point="answer", event_trigger=None, service_config__ingress_settings=ALLOW_ALL
    )
    path = made.url.removeprefix(cloud_fixture.cloud.url)

    answer = cloud_fixture.call("POST", f"{path}/a/b?x=1&x=2", {"say": "hi"})

    assert answer.json() == {"path": "/a/b", "query": "x=1&x=2", "body": '{"say": "hi"}'}
    assert cloud_fixture.call("POST", path, {}, "notebook-vm").status_code == 403
    binding = {"role": "roles/run.invoker", "members": ["allAuthenticatedUsers"]}
    cloud_fixture.call("POST", f"/v2/{SERVICE}:setIamPolicy", {"policy": {"bindings": [binding]}})
    assert cloud_fixture.call("POST", path, {}, "notebook-vm").status_code == 200


def test_internal_ingress_lets_only_the_pushes_of_the_trigger_in(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create()
    cloud_fixture.bind()
    path = made.url.removeprefix(cloud_fixture.cloud.url)
    push = {"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}, "subscription": "other"}
    mode = "?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
    assert cloud_fixture.call("POST", path, {}).status_code == 404
    assert cloud_fixture.call("POST", path + mode, push, "notebook-trigger").status_code == 404
    (subscription,) = cloud_fixture.cloud.inventory()["pubsub.subscriptions"]
    push["subscription"] = f"projects/local-project/subscriptions/{subscription['name']}"
    assert cloud_fixture.call("POST", path + mode, push, "notebook-vm").status_code == 404
    assert cloud_fixture.call("POST", path + mode, push, "notebook-trigger").status_code == 200
    assert [line["event"]["id"] for line in cloud_fixture.events()] == ["1"]


def test_no_service_at_an_address(cloud_fixture: CloudFixture) -> None:
    assert cloud_fixture.call("GET", "/_run/us-central1/nothing").status_code == 404


def test_a_planned_fault_on_the_invocation(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    fault = {"method": "run.services.invoke", "match": {"service": "nightly"}, "action": "error"}
    cloud_fixture.cloud.faults.add({**fault, "args": {"status": 503}})
    cloud_fixture.publish()
    eventually(lambda: cloud_fixture.cloud.inventory()["faults"][0]["consumed"] == 1)
    cloud_fixture.await_redelivery(1)


def test_an_instance_that_ended_by_itself_is_replaced(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create(
        build_config__entry_point="answer", event_trigger=None, service_config__ingress_settings=ALLOW_ALL
    )
    assert (
        requests.get(f"{made.url}/end", headers=signed(cloud_fixture.cloud.iam), timeout=PATIENCE).status_code
        == 503
    )
    assert "malformed or connection to the instance had an error" in cloud_fixture.log()
    assert (
        requests.get(made.url, headers=signed(cloud_fixture.cloud.iam), timeout=PATIENCE).status_code == 200
    )


def test_a_restart_serves_the_same_function_by_the_same_subscription(
    start: Start, cloud_fixture: CloudFixture
) -> None:
    made = cloud_fixture.create()
    cloud_fixture.bind()
    (subscription,) = cloud_fixture.cloud.inventory()["pubsub.subscriptions"]

    again = start()

    assert again.get() == made
    assert again.cloud.inventory()["pubsub.subscriptions"] == [subscription]
    again.publish()
    (line,) = again.await_events(1)
    assert line["env"]["K_REVISION"] == made.service_config.revision
    changed = result(again.patch("service_config.timeout_seconds", service_config__timeout_seconds=90))
    assert changed.service_config.timeout_seconds == 90


def test_a_function_whose_packages_are_gone_answers_503(
    start: Start, cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cloud_fixture.create(
        build_config__entry_point="answer", event_trigger=None, service_config__ingress_settings=ALLOW_ALL
    )

    def offline(_environments: Environments, _requirements: str) -> Path:
        raise BuildFailed("no network")

    monkeypatch.setattr(Environments, "python", offline)
    again = start()
    path = made.url.partition("/_run")[2]
    assert again.call("POST", f"/_run{path}", {}).status_code == 503
    assert "the instance could not start successfully: no network." in again.log()


def test_a_restart_on_another_port_moves_the_subscription(start: Start, cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    port = int(cloud_fixture.cloud.url.rpartition(":")[2])
    with contextlib.ExitStack() as taken:
        again = start(lambda: taken.enter_context(socket.create_server(("127.0.0.1", port))))
        assert again.cloud.url != f"http://127.0.0.1:{port}"
        assert again.get().url == f"{again.cloud.url}/_run/us-central1/nightly"
        again.publish()
        again.await_events(1)


def test_the_end_does_not_wait_for_an_instance_that_does_not_start(
    start: Start, cloud_fixture: CloudFixture
) -> None:
    hanging = "import time\nprint('hanging')\ntime.sleep(1000)"
    files = {"main.py": hanging, "requirements.txt": REQUIREMENTS}
    cloud_fixture.begin(build_config__source={"storage_source": cloud_fixture.upload(files)})
    eventually(lambda: "hanging" in cloud_fixture.log(), cloud_fixture.log)
    begin = time.monotonic()

    again = start()

    assert time.monotonic() - begin < SOON
    assert again.get().state.name == "FAILED"


def test_operations_under_way_at_the_end_have_failed_after_a_restart(
    start: Start, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()
    records = tmp_path / "state" / "functions" / "functions.json"
    kept: dict[str, Any] = json.loads(records.read_text())
    for record in kept.values():
        record["shown"]["function"]["state"] = "DEPLOYING"
    name = next(iter(kept))
    kept[name.replace("nightly", "daily")] = json.loads(
        json.dumps(kept[name] | {"serving": None, "trigger": None}).replace("nightly", "daily")
    )
    again = start(lambda: records.write_text(json.dumps(kept)))

    states = {entry["name"]: entry["state"] for entry in again.cloud.inventory()["functions"]}
    assert states == {"nightly": "ACTIVE", "daily": "FAILED"}
    assert email("notebook-function") == again.get().service_config.service_account_email
