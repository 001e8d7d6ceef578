"""Runs live notebooks by events on the real path: topic, function, build, VM, results."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.core.iam import PROJECT, Grant, email
from localcloud.core.times import timestamp
from localcloud.profile import GRANTS
from tests.e2e.builder_process import until
from tests.e2e.deploying import Deployer, Proven
from tests.e2e.test_scheduled import TOPIC, pulled, put
from tests.patience import PATIENCE

DELIVERIES = 1000
AT_ONCE = 32
INSERT = "compute.instances.insert"
BUSY = 429  # the one instance takes one event at a time, and Pub/Sub comes again, later each time
FIRST_PAUSE, MAX_PAUSE = 0.2, 1.6  # seconds


def version(deployer: Deployer, day: str) -> dict[str, bytes]:
    """The published folder of a day: content by relative name."""
    folder = deployer.location / "versions" / day / "demo"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parameters(published: dict[str, bytes]) -> dict[str, Any]:
    """Return the parameters of the executed notebook."""
    return dict(json.loads(published["demo.ipynb"])["metadata"]["papermill"]["parameters"])


def function_log(deployer: Deployer) -> list[dict[str, Any]]:
    """The function's own lines."""
    text = (deployer.cloud.state / "functions" / "nightly" / "log.txt").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"severity"')]


def lines_of(deployer: Deployer, event: str) -> list[dict[str, Any]]:
    return [line for line in function_log(deployer) if line.get("event") == event]


def push(deployer: Deployer, event: str, message: bytes) -> Callable[[], int]:
    """Return a function that delivers an event as Pub/Sub does, until it is accepted, and returns the status."""
    found = deployer.cloud.inventory()["pubsub.subscriptions"]
    (subscription,) = [one for one in found if one.get("push_endpoint")]
    data = base64.b64encode(message).decode()
    body = {
        "message": {"data": data, "messageId": event, "publishTime": timestamp(deployer.cloud.clock.now())},
        "subscription": f"projects/{PROJECT}/subscriptions/{subscription['name']}",
    }
    token = deployer.cloud.iam.token(email("notebook-trigger"))[0]
    headers = {"Authorization": f"Bearer {token}"}

    def deliver() -> int:
        pause = FIRST_PAUSE
        while True:
            answer = requests.post(
                subscription["push_endpoint"], json=body, headers=headers, timeout=PATIENCE
            )
            if answer.status_code != BUSY:
                return answer.status_code
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, MAX_PAUSE)

    return deliver


@pytest.mark.exhaustive
def test_a_thousand_deliveries_are_one_green_build_and_then_a_red_event_is_reported(
    alerting: Deployer,
) -> None:
    assert alerting.deploy(NB_ALERT_TOPIC=TOPIC).code == 0
    first, green = a_thousand_deliveries_are_one_build_and_one_vm(alerting)
    a_red_event_is_a_failed_build_that_is_told_of_and_changes_no_green_day(alerting, first, green)
    a_message_that_is_refused_submits_no_build(alerting)


def a_thousand_deliveries_are_one_build_and_one_vm(
    deployer: Deployer,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the build and what it published."""
    vms = deployer.calls().get(INSERT, 0)
    message = b'{"today": "2018-04-01"}'
    event = deployer.publish(message.decode())
    deliver = push(deployer, event, message)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda _: deliver(), range(DELIVERIES)))
    assert statuses == [200] * DELIVERIES
    words = [line["message"] for line in lines_of(deployer, event)]
    assert len(words) >= DELIVERIES
    assert sum(each.startswith("submitted build ") for each in words) == 1
    (build,) = deployer.ended(1)
    assert build["status"] == "SUCCESS"
    assert f"event-{event}" in build["tags"]
    assert deployer.calls()[INSERT] == vms + 1
    green = version(deployer, "2018-04-01")
    assert parameters(green) == {"day": "2018-03-31"}
    assert deployer.left() == []
    return build, green


def told(deployer: Deployer, event: str) -> list[dict[str, Any]]:
    """The function's lines on an event, which comes again a while after it met a busy instance."""
    deployer.cloud.clock.advance(1)
    return lines_of(deployer, event)


@pytest.fixture
def alerting(proven: Proven, tmp_path: Path) -> Iterator[Deployer]:
    """The branch that deploys, where scheduled builds may publish to a topic that has a subscription."""
    grant = Grant("notebook-scheduler", "roles/pubsub.publisher", f"projects/{PROJECT}")
    with proven.copied(tmp_path / "proven", grants=[*GRANTS, grant]) as made:
        put(made.cloud, "topics/red", {})
        put(made.cloud, "subscriptions/reader", {"topic": TOPIC})
        yield made


def a_red_event_is_a_failed_build_that_is_told_of_and_changes_no_green_day(
    deployer: Deployer, first: dict[str, Any], green: dict[str, bytes]
) -> None:
    event = deployer.publish('{"today": "2018-04-01", "parameters": {"city": "Rome"}, "publish": true}')
    red = next(one for one in deployer.ended(2) if one["id"] != first["id"])
    assert red["status"] == "FAILURE"
    assert version(deployer, "2018-04-01") == green
    (results,) = (deployer.location / "results").glob(f"event-{event}*")
    assert (results / "demo" / "FAILED").is_file()
    (job,) = json.loads((results / "summary.json").read_text())["jobs"]
    assert (job["verdict"], job["parameters"]) == ("red", {"day": "2018-03-31", "city": "Rome"})

    (alarm,) = pulled(deployer.cloud)
    assert (alarm["event"].partition("-")[0], alarm["today"]) == (event, "2018-04-01")
    assert (alarm["verdict"], alarm["exit_code"]) == ("red", 1)
    assert alarm["report"].endswith(f"/{results.name}/summary.json")
    assert deployer.left() == []


def a_message_that_is_refused_submits_no_build(deployer: Deployer) -> None:
    for broken in ('{"bucket": "elsewhere"}', '{"parameters": {"city": 1}}', '{"today": "tomorrow"}', "run"):
        refused = deployer.publish(broken)
        (line,) = until(partial(told, deployer, refused), "the function's word on it")
        assert line["severity"] == "ERROR"
        assert "No build was submitted, the message was refused" in line["message"]
    assert len(deployer.builds()) == 2
    assert deployer.left() == []
