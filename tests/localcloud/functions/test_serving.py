"""How functions run: how many requests at once, how long, from where, and after a restart."""

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

from localcloud.iam import email
from localcloud.run import instances
from tests.localcloud.functions.conftest import REQUIREMENTS, SERVICE, Start, World, await_true, result

ALLOW_ALL = types.ServiceConfig.IngressSettings.ALLOW_ALL
BUSY = "no available instance"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests do not wait long for their turn."""
    monkeypatch.setattr(instances, "_PATIENCE", 0.5)


@pytest.mark.usefixtures("impatient")
def test_one_instance_with_one_request_refuses_the_second_until_the_first_is_done(
    world: World, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    world.create(
        build_config__entry_point="wait", service_config__environment_variables={"UNTIL": str(until)}
    )
    world.bind()
    world.publish()
    await_true(lambda: "waiting" in world.log(), world.log)
    world.publish()
    await_true(lambda: BUSY in world.log(), world.log)
    assert world.log().count("waiting") == 1

    until.touch()
    await_true(lambda: world.backlog() == 1, world.log)

    def delivered() -> bool:
        world.cloud.clock.advance(20)
        return world.backlog() == 0

    await_true(delivered, world.log)
    assert world.log().count("waited") == 2


def test_messages_that_come_together_wait_for_their_turn(world: World) -> None:
    world.create(service_config__max_instance_count=1, service_config__max_instance_request_concurrency=1)
    world.bind()
    for _ in range(5):
        world.publish()
    await_true(lambda: world.backlog() == 0, world.log)
    assert BUSY not in world.log()


def test_a_clock_that_is_moved_stands_still_for_what_it_sets_off(world: World) -> None:
    world.create()
    world.bind()
    world.cloud.clock.call_later(3600, world.publish)
    world.cloud.clock.advance(86_400)
    assert world.backlog() == 0


@pytest.mark.usefixtures("impatient")
def test_instances_and_their_concurrency_bound_what_runs_at_once(world: World, tmp_path: Path) -> None:
    until = tmp_path / "until"
    world.create(
        build_config__entry_point="wait",
        service_config__max_instance_count=2,
        service_config__max_instance_request_concurrency=2,
        service_config__available_cpu="1",
        service_config__environment_variables={"UNTIL": str(until)},
    )
    world.bind()
    for _ in range(5):
        world.publish()
    await_true(lambda: BUSY in world.log() and world.log().count("waiting") == 4, world.log)
    (service,) = world.cloud.inventory()["run.services"]
    assert service["instances"] == 2
    until.touch()
    await_true(lambda: world.backlog() == 1, world.log)


def test_a_request_that_takes_too_long_is_ended(world: World, tmp_path: Path) -> None:
    world.create(
        build_config__entry_point="wait",
        service_config__timeout_seconds=1,
        service_config__environment_variables={"UNTIL": str(tmp_path / "never")},
    )
    world.bind()
    world.publish()
    await_true(lambda: "maximum request timeout" in world.log(), world.log)
    assert world.backlog() == 1


def test_an_http_function_answers_whoever_may_invoke_it(world: World) -> None:
    made = world.create(
        build_config__entry_point="answer", event_trigger=None, service_config__ingress_settings=ALLOW_ALL
    )
    path = made.url.removeprefix(world.cloud.url)

    answer = world.call("POST", f"{path}/a/b?x=1&x=2", {"say": "hi"})

    assert answer.json() == {"path": "/a/b", "query": "x=1&x=2", "body": '{"say": "hi"}'}
    assert world.call("POST", path, {}, "vm").status_code == 403
    binding = {"role": "roles/run.invoker", "members": ["allAuthenticatedUsers"]}
    world.call("POST", f"/v2/{SERVICE}:setIamPolicy", {"policy": {"bindings": [binding]}})
    assert world.call("POST", path, {}, "vm").status_code == 200


def test_internal_ingress_lets_only_the_pushes_of_the_trigger_in(world: World) -> None:
    made = world.create()
    world.bind()
    path = made.url.removeprefix(world.cloud.url)
    push = {"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z"}, "subscription": "other"}
    mode = "?__GCP_CloudEventsMode=CE_PUBSUB_BINDING"
    assert world.call("POST", path, {}).status_code == 404
    assert world.call("POST", path + mode, push, "trigger").status_code == 404
    (subscription,) = world.cloud.inventory()["pubsub.subscriptions"]
    push["subscription"] = f"projects/local-project/subscriptions/{subscription['name']}"
    assert world.call("POST", path + mode, push, "vm").status_code == 404
    assert world.call("POST", path + mode, push, "trigger").status_code == 200
    assert [line["event"]["id"] for line in world.events()] == ["1"]


def test_no_service_at_an_address(world: World) -> None:
    assert world.call("GET", "/_run/us-central1/nothing").status_code == 404


def test_a_planned_fault_on_the_invocation(world: World) -> None:
    world.create()
    world.bind()
    fault = {"method": "run.services.invoke", "match": {"service": "nightly"}, "action": "error"}
    world.cloud.faults.add({**fault, "args": {"status": 503}})
    world.publish()
    await_true(lambda: world.cloud.inventory()["faults"][0]["consumed"] == 1)
    world.await_redelivery(1)


def test_an_idle_instance_ends_and_the_next_event_starts_another(world: World) -> None:
    world.create()
    world.bind()
    world.cloud.clock.advance(3600)
    assert world.cloud.inventory()["run.services"][0]["instances"] == 0
    world.publish()
    world.await_events(1)


def test_an_instance_that_ended_by_itself_is_replaced(world: World) -> None:
    made = world.create(
        build_config__entry_point="answer", event_trigger=None, service_config__ingress_settings=ALLOW_ALL
    )
    assert requests.get(f"{made.url}/end", timeout=10).status_code == 503
    assert "malformed or connection to the instance had an error" in world.log()
    assert requests.get(made.url, timeout=10).status_code == 200


def test_a_restart_serves_the_same_function_by_the_same_subscription(start: Start, world: World) -> None:
    made = world.create()
    world.bind()
    (subscription,) = world.cloud.inventory()["pubsub.subscriptions"]

    again = start()

    assert again.get() == made
    assert again.cloud.inventory()["pubsub.subscriptions"] == [subscription]
    again.publish()
    (line,) = again.await_events(1)
    assert line["env"]["K_REVISION"] == made.service_config.revision
    changed = result(again.patch("service_config.timeout_seconds", service_config__timeout_seconds=90))
    assert changed.service_config.timeout_seconds == 90


def test_a_restart_on_another_port_moves_the_subscription(start: Start, world: World) -> None:
    world.create()
    world.bind()
    port = int(world.cloud.url.rpartition(":")[2])
    with contextlib.ExitStack() as taken:
        again = start(lambda: taken.enter_context(socket.create_server(("127.0.0.1", port))))
        assert again.cloud.url != f"http://127.0.0.1:{port}"
        assert again.get().url == f"{again.cloud.url}/_run/us-central1/nightly"
        again.publish()
        again.await_events(1)


def test_the_end_does_not_wait_for_an_instance_that_does_not_start(start: Start, world: World) -> None:
    hanging = "import time\nprint('hanging')\ntime.sleep(1000)"
    files = {"main.py": hanging, "requirements.txt": REQUIREMENTS}
    world.begin(build_config__source={"storage_source": world.upload(files)})
    await_true(lambda: "hanging" in world.log(), world.log)
    begin = time.monotonic()

    again = start()

    assert time.monotonic() - begin < 5
    assert again.get().state.name == "FAILED"


def test_what_was_under_way_at_the_end_has_failed_after_a_restart(
    start: Start, world: World, tmp_path: Path
) -> None:
    world.create()
    world.bind()
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
    assert email("function") == again.get().service_config.service_account_email
