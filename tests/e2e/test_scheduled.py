"""Scheduled runs on real VMs: the dates that were promised, one run per event, and what is left where a day is red."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials

from builder.act.waiting import Cancellation, RealClock
from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from localcloud.cloud import Cloud
from localcloud.iam import GRANTS, PROJECT, Grant, email
from tests.e2e.world import BUCKET, Builder, Finished, Repo, notebook, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DATED = ("start = ''\nend = '2000-01-01'\ncity = 'Paris'", ["parameters"])
SCHEDULE = json.dumps({"start": "{today-1m}", "end": "{today}"})


def bucket(cloud: Cloud) -> GoogleObjectStore:
    """The bucket as the builder's account writes it."""
    credentials = Credentials(token=cloud.iam.token(email("builder"))[0])
    access = Access(credentials, PROJECT, {"storage": cloud.url})
    return GoogleObjectStore(access, BUCKET, RealClock(Cancellation()))


def version(done: Finished, *parts: str) -> dict[str, bytes]:
    folder = done.bucket.joinpath(done.prefix, "versions", *parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_scheduled_run_gets_its_days_dates_and_its_duplicate_nothing(builder: Builder, repo: Repo) -> None:
    book = notebook(DATED, "print('from', start, 'to', end, 'in', city)")
    repo.write({"rides.ipynb": book})
    options = {
        "NB_NOTEBOOKS": "rides.ipynb",
        "NB_PARAMETERS": '{"matrix": {"start": ["2017-01-01", "2017-02-01"]}}',
        "NB_SCHEDULE_PARAMETERS": SCHEDULE,
        "NB_EVENT": '{"today": "2018-03-31", "parameters": {"city": "Rome"}}',
        "NB_EVENT_ID": f"e-{builder.prefix}",
        "NB_RUN_ID": f"event-e-{builder.prefix}",
    }
    first = builder.run(**options)
    assert first.code == 0, first.output
    assert "scheduled, for 2018-03-31" in first.output
    asked = {"start": "2018-02-28", "end": "2018-03-31", "city": "Rome"}
    assert [job["parameters"] for job in first.summary()["jobs"]] == [asked]
    published = version(first, "2018-03-31", "rides")
    assert "from 2018-02-28 to 2018-03-31 in Rome" in published["run.log"].decode()
    executed = json.loads(published["rides.ipynb"])
    assert executed["metadata"]["papermill"]["parameters"] == asked
    inserts = builder.cloud.inventory()["calls"]["compute.instances.insert"]

    again = builder.run(**options)
    assert again.code == 0, again.output
    duplicate = f"scheduled for 2018-03-31, duplicate of event-e-{builder.prefix} (green) (exit code 0)"
    assert f"verdict: GREEN, {duplicate}" in again.output
    assert "requested in" not in again.output
    assert version(first, "2018-03-31", "rides") == published
    assert builder.cloud.inventory()["calls"]["compute.instances.insert"] == inserts


def test_a_red_day_leaves_its_green_version_alone(builder: Builder, repo: Repo) -> None:
    repo.write({"rides.ipynb": notebook(DATED, "assert city == 'Paris', city")})
    options = {"NB_NOTEBOOKS": "rides.ipynb"}
    first = builder.run(
        **options, NB_EVENT="{}", NB_EVENT_TIME="2018-03-31T23:00:00Z", NB_TIME_ZONE="Europe/Paris"
    )
    assert first.code == 0, first.output
    published = version(first, "2018-04-01", "rides")
    assert json.loads(published["result.json"])["verdict"] == "green"
    message = '{"today": "2018-04-01", "parameters": {"city": "Rome"}}'
    second = builder.run(**options, NB_EVENT=message)
    assert second.code == 1, second.output
    assert version(first, "2018-04-01", "rides") == published
    assert second.job("rides")["output"].endswith(f"/results/{second.run}/rides/")
    assert "FAILED" in second.published("rides")


def test_a_run_whose_event_another_one_has_stops_with_6(telling: Builder, repo: Repo) -> None:
    """The other one took over while this builder was thought dead; its VM goes, nothing is published, and the topic is told."""
    builder = telling
    repo.write({"rides.ipynb": notebook(DATED, "import time; time.sleep(100)")})
    event = f"e-{builder.prefix}"
    process, environment = builder.start(
        NB_NOTEBOOKS="rides.ipynb",
        NB_EVENT='{"today": "2018-04-01"}',
        NB_EVENT_ID=event,
        NB_ALERT_TOPIC=TOPIC,
    )
    lock = builder.cloud.state / "storage" / BUCKET / builder.prefix / "locks" / event
    assert process.stdout is not None
    for line in process.stdout:
        if "runs in" in line:
            break
    assert json.loads(lock.read_text())["run"] == environment["NB_RUN_ID"]
    other = {"schema": 1, "event": event, "run": "another", "owner": "x", "renewal": 1, "state": "running"}
    store = bucket(builder.cloud)
    store.replace(
        f"{builder.prefix}/locks/{event}", json.dumps(other).encode(), content_type="application/json"
    )
    store.close()
    began = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 6, output
    assert "verdict: RED, scheduled for 2018-04-01, event lost (exit code 6" in output
    assert f"event {event} is run another's now" in output
    assert time.monotonic() - began < 40
    (told,) = pulled(builder.cloud)
    assert (told["reason"], told["event"], told["exit_code"]) == ("event_lost", event, 6)
    until(lambda: builder.left() == [], "the VM's end")
    assert not (builder.cloud.state / "storage" / BUCKET / builder.prefix / "versions").exists()


def test_mistakes_of_a_message_are_told_by_plan(builder: Builder, repo: Repo) -> None:
    repo.write({"rides.ipynb": notebook(DATED, "1")})
    done = builder.run(
        "plan", NB_NOTEBOOKS="rides.ipynb", NB_EVENT='{"parameters": {"city": 1, "town": "x"}}'
    )
    assert done.code == 2
    assert "NB_EVENT: parameter city: expected a string" in done.output
    assert "NB_EVENT: parameter town: no notebook declares it; declared: city, end, start" in done.output
    good = builder.run(
        "plan",
        NB_NOTEBOOKS="rides.ipynb",
        NB_SCHEDULE_PARAMETERS=SCHEDULE,
        NB_EVENT='{"today": "2018-04-01"}',
    )
    assert good.code == 0, good.output
    assert "scheduled, for 2018-04-01" in good.output
    assert '{"start": "2018-03-01", "end": "2018-04-01"}' in good.output
    assert "/versions/2018-04-01/rides/" in good.output


@pytest.fixture
def telling(tmp_path: Path, repo: Repo) -> Iterator[Builder]:
    """The builder on a cloud whose topic it may publish to, with a subscription."""
    grant = Grant("builder", "roles/pubsub.publisher", f"projects/{PROJECT}/topics/*")
    with Cloud(tmp_path / "telling", buckets=[BUCKET], grants=[*GRANTS, grant]) as cloud:
        put(cloud, "topics/red", {})
        put(cloud, "subscriptions/reader", {"topic": TOPIC})
        yield Builder(cloud, repo.folder)


TOPIC = f"projects/{PROJECT}/topics/red"


def put(cloud: Cloud, name: str, body: dict[str, str]) -> None:
    requests.put(f"{cloud.url}/v1/projects/{PROJECT}/{name}", json=body, timeout=10).raise_for_status()


def pulled(cloud: Cloud) -> list[dict[str, Any]]:
    """Every message that waits in the subscription."""
    url = f"{cloud.url}/v1/projects/{PROJECT}/subscriptions/reader:pull"
    answer = requests.post(url, json={"maxMessages": 10, "returnImmediately": True}, timeout=10)
    answer.raise_for_status()
    messages = answer.json().get("receivedMessages", [])
    return [json.loads(base64.b64decode(item["message"]["data"])) for item in messages]


def test_a_topic_is_told_of_red_runs(telling: Builder, repo: Repo) -> None:
    repo.write({"rides.ipynb": notebook(DATED, "1 / 0")})
    options = {
        "NB_NOTEBOOKS": "rides.ipynb",
        "NB_ALERT_TOPIC": TOPIC,
        "NB_EVENT": '{"today": "2018-04-01"}',
        "NB_EVENT_ID": "e1",
    }
    done = telling.run(**options)
    assert done.code == 1, done.output
    (told,) = pulled(telling.cloud)
    assert told == {
        "schema": 1,
        "run": done.run,
        "event": "e1",
        "today": "2018-04-01",
        "verdict": "red",
        "exit_code": 1,
        "jobs": [{"job": "rides", "reason": "cell_failed", "message": done.job("rides")["message"]}],
        "report": f"gs://{BUCKET}/{done.prefix}/results/{done.run}/summary.json",
        "left": [],
    }
    # Started again, as with Cloud Build's "Retry": the event has had its run, and the day is asked for by another one.
    again = telling.run(**options)
    assert again.code == 1, again.output
    assert f"verdict: RED, scheduled for 2018-04-01, duplicate of {done.run}, which was red" in again.output
    command = """gcloud pubsub topics publish TOPIC --message='{"today": "2018-04-01"}'"""
    assert f"publish a new one: {command}\n" in again.output
    assert "requested in" not in again.output
    # What cannot even begin is red, too; what somebody started by hand is nobody's alarm.
    unfit = {**options, "NB_EVENT": '{"parameters": {"town": 1}}'}
    mistakes = telling.run(**unfit)
    assert mistakes.code == 2
    assert "verdict: RED, scheduled, 1 mistake found before any call" in mistakes.output
    (mistaken,) = [message for message in pulled(telling.cloud) if message["exit_code"] == 2]
    assert "town: no notebook declares it" in mistaken["message"]
    assert telling.run(**options, NB_GCS_LOCATION="gs://nb-gone/ci").code == 4
    (refused,) = [message for message in pulled(telling.cloud) if message["exit_code"] == 4]
    assert (refused["reason"], refused["today"], refused["jobs"]) == ("not_found", "2018-04-01", [])
    missing = telling.run(**unfit | {"NB_ALERT_TOPIC": f"{TOPIC}-gone"})
    assert missing.code == 2
    assert "warning: nobody could be told of this run" in missing.output
    by_hand = {name: value for name, value in options.items() if not name.startswith("NB_EVENT")}
    assert telling.run(**by_hand, NB_PARAMETERS='{"town": 1}').code == 2
    assert [message for message in pulled(telling.cloud) if message["event"] is None] == []
