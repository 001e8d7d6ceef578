"""Scheduled runs on real VMs: the dates that were promised, one run per event, and what is left where a day is red."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials

from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant, email
from localcloud.profile import GRANTS
from tests.e2e.builder_process import BUCKET, Builder, Finished, Repo, notebook, until
from tests.granting import granting
from tests.owner import signed
from tests.patience import PATIENCE

DATED = ("start = ''\nend = '2000-01-01'\ncity = 'Paris'", ["parameters"])
SCHEDULE = json.dumps({"start": "{today-1m}", "end": "{today}"})


def bucket(cloud: Cloud) -> GoogleObjectStore:
    """The bucket as the builder's account writes it."""
    credentials = Credentials(token=cloud.iam.token(email("notebook-scheduler"))[0])
    access = Access(credentials, PROJECT, {"storage": cloud.url})
    return GoogleObjectStore(access, BUCKET, RealClock(Cancellation()))


def version(done: Finished, *parts: str) -> dict[str, bytes]:
    folder = done.bucket.joinpath(done.prefix, "versions", *parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Scheduler(Builder):
    """The builder in scheduled builds, whose account alone writes versions/ and locks/."""

    def environment(self, **options: str) -> dict[str, str]:
        return super().environment(**{**self.cloud.environment("notebook-scheduler"), **options})


@pytest.fixture
def alerting(tmp_path: Path, repo: Repo) -> Iterator[Builder]:
    """The builder on a cloud whose topic it may publish to, with a subscription."""
    grant = Grant("notebook-scheduler", "roles/pubsub.publisher", f"projects/{PROJECT}")
    with Cloud(tmp_path / "alerting", buckets=[BUCKET], profile=granting([*GRANTS, grant])) as cloud:
        put(cloud, "topics/red", {})
        put(cloud, "subscriptions/reader", {"topic": TOPIC})
        yield Scheduler(cloud, repo.folder)


TOPIC = f"projects/{PROJECT}/topics/red"


def put(cloud: Cloud, name: str, body: dict[str, str]) -> None:
    url = f"{cloud.url}/v1/projects/{PROJECT}/{name}"
    requests.put(url, json=body, headers=signed(cloud.iam), timeout=PATIENCE).raise_for_status()


def pulled(cloud: Cloud) -> list[dict[str, Any]]:
    """Every message that waits in the subscription."""
    url = f"{cloud.url}/v1/projects/{PROJECT}/subscriptions/reader:pull"
    body = {"maxMessages": 10, "returnImmediately": True}
    answer = requests.post(url, json=body, headers=signed(cloud.iam), timeout=PATIENCE)
    answer.raise_for_status()
    messages = answer.json().get("receivedMessages", [])
    return [json.loads(base64.b64decode(item["message"]["data"])) for item in messages]


@dataclass(frozen=True)
class EventRuns:
    """Runs of one day, one after the other, into the same folder."""

    builder: Builder
    options: Mapping[str, str]

    def run(self, event: str, message: str, **options: str) -> Finished:
        return self.builder.run(**{**self.options, "NB_EVENT_ID": event, "NB_EVENT": message, **options})

    @property
    def cloud(self) -> Cloud:
        return self.builder.cloud

    def inserts(self) -> int:
        return int(self.cloud.inventory()["calls"]["compute.instances.insert"])


# Two notebooks: one that fails where its day is asked for again without a city, one that does not write its file then.
KEPT = notebook(
    DATED,
    "open('outputs/rides.csv', 'w').write(city)",
    "print('from', start, 'to', end, 'in', city)\nassert city == 'Rome', city",
)
RENEWED = notebook(
    DATED, "if city == 'Rome':\n    open('outputs/rides.csv', 'w').write(city)\nelse:\n    print('new')"
)
ROME = '{"parameters": {"city": "Rome"}, "publish": true}'
DAY = '{"today": "2018-03-31"}'
IN_PARIS = {"NB_EVENT_TIME": "2018-03-30T23:00:00Z", "NB_TIME_ZONE": "Europe/Paris"}


@pytest.mark.exhaustive  # integration/test_event_lock.py has each of it, e2e/test_archive.py a run of an event
def test_a_day_is_green_once_then_red_and_each_is_reported(alerting: Builder, repo: Repo) -> None:
    """The dates that were promised.

    Nothing for a duplicate; a red run leaves what is green, and the topic hears of it.
    """
    repo.write({"sub/keep.ipynb": KEPT, "sub/renew.ipynb": RENEWED})
    alerting.folder = repo.folder / "sub"  # where a build's step may stand
    options = {
        "NB_NOTEBOOKS": "keep.ipynb,renew.ipynb",
        "NB_PARAMETERS": '{"matrix": {"start": ["2017-01-01", "2017-02-01"]}}',
        "NB_SCHEDULE_PARAMETERS": SCHEDULE,
        "NB_RUN_ID": "again",
        "NB_ALERT_TOPIC": TOPIC,
    }
    runs = EventRuns(alerting, options)
    green = a_green_day(runs)
    a_duplicate_does_nothing(runs, green)
    red = a_red_run_of_the_same_day(runs, green)
    a_red_duplicate_says_what_to_do(runs, red)


def a_green_day(runs: EventRuns) -> dict[str, bytes]:
    """The day is the event's own time in the schedule's zone. Returns what is published."""
    done = runs.run("e1", ROME, **IN_PARIS)
    assert done.code == 0, done.output
    assert "scheduled, for 2018-03-31" in done.output
    asked = {"start": "2018-02-28", "end": "2018-03-31", "city": "Rome"}
    assert [job["parameters"] for job in done.summary()["jobs"]] == [asked, asked]
    published = version(done, "2018-03-31")
    assert {f"sub-{name}/outputs/rides.csv" for name in ("keep", "renew")} <= published.keys()
    assert "from 2018-02-28 to 2018-03-31 in Rome" in published["sub-keep/run.log"].decode()
    executed = json.loads(published["sub-keep/keep.ipynb"])
    assert executed["metadata"]["papermill"]["parameters"] == asked
    assert json.loads(published["sub-keep/result.json"])["verdict"] == "green"
    assert pulled(runs.cloud) == []
    return published


def a_duplicate_does_nothing(runs: EventRuns, published: dict[str, bytes]) -> None:
    inserts = runs.inserts()
    again = runs.run("e1", ROME, **IN_PARIS)
    assert again.code == 0, again.output
    duplicate = "scheduled for 2018-03-31, duplicate of again (green) (exit code 0)"
    assert f"verdict: GREEN, {duplicate}" in again.output
    assert "requested in" not in again.output
    assert version(again, "2018-03-31") == published
    assert runs.inserts() == inserts


def a_red_run_of_the_same_day(runs: EventRuns, green: dict[str, bytes]) -> Finished:
    """A red job replaces nothing that is green, a green one leaves nothing of the older. Its taken id gets a suffix."""
    done = runs.run("e2", DAY)
    assert done.code == 1, done.output
    assert "run again-2 in project" in done.output
    done = replace(done, run="again-2")
    after = version(done, "2018-03-31")
    kept = {name for name in green if name.startswith("sub-keep/")}
    assert {name: content for name, content in after.items() if name.startswith("sub-keep/")} == {
        name: green[name] for name in kept
    }
    assert "sub-renew/outputs/rides.csv" not in after
    assert b"new" in after["sub-renew/renew.ipynb"]
    assert json.loads(after["sub-renew/result.json"])["run"] == "again-2"
    assert {"FAILED", "keep.ipynb"} <= done.published("sub-keep").keys()
    assert done.job("sub-keep")["output"].endswith("/results/again-2/sub-keep/")
    (told,) = pulled(runs.cloud)
    message = done.job("sub-keep")["message"]
    assert told == {
        "schema": 1,
        "run": "again-2",
        "event": "e2",
        "today": "2018-03-31",
        "verdict": "red",
        "exit_code": 1,
        "jobs": [{"job": "sub-keep", "reason": "cell_failed", "message": message}],
        "report": f"gs://{BUCKET}/{done.prefix}/results/again-2/summary.json",
        "left": [],
    }
    return done


def a_red_duplicate_says_what_to_do(runs: EventRuns, red: Finished) -> None:
    """Started again by Cloud Build's "Retry": the event has had its run, and another one asks for the day."""
    again = runs.run("e2", DAY)
    assert again.code == 1, again.output
    assert f"verdict: RED, scheduled for 2018-03-31, duplicate of {red.run}, which was red" in again.output
    command = """gcloud pubsub topics publish TOPIC --message='{"today": "2018-03-31"}'"""
    assert f"publish a new one: {command}\n" in again.output
    assert "requested in" not in again.output


@pytest.mark.exhaustive
def test_a_run_that_cannot_begin_is_reported_too(alerting: Builder, repo: Repo) -> None:
    """A scheduled run that cannot begin sends an alert; a run that somebody started by hand sends none."""
    repo.write({"rides.ipynb": notebook(DATED, "1")})
    options = {"NB_NOTEBOOKS": "rides.ipynb", "NB_ALERT_TOPIC": TOPIC}
    runs = EventRuns(alerting, options)
    unfit = '{"parameters": {"town": 1}}'
    mistakes = runs.run("e3", unfit)
    assert mistakes.code == 2
    assert "verdict: RED, scheduled, 1 mistake found before any call" in mistakes.output
    (mistaken,) = [message for message in pulled(runs.cloud) if message["exit_code"] == 2]
    assert "town: no notebook declares it" in mistaken["message"]
    assert runs.run("e4", DAY, NB_GCS_LOCATION="gs://nb-gone/ci").code == 4
    (refused,) = [message for message in pulled(runs.cloud) if message["exit_code"] == 4]
    assert (refused["reason"], refused["today"], refused["jobs"]) == ("bucket_missing", "2018-03-31", [])
    missing = runs.run("e3", unfit, NB_ALERT_TOPIC=f"{TOPIC}-gone")
    assert missing.code == 2
    assert "warning: the alert on this run could not be published" in missing.output
    assert alerting.run(**options, NB_PARAMETERS='{"town": 1}').code == 2
    assert [message for message in pulled(runs.cloud) if message["event"] is None] == []


@pytest.mark.exhaustive
def test_a_run_whose_event_another_one_has_stops_with_6(alerting: Builder, repo: Repo) -> None:
    """The other one took over while this builder was thought dead.

    Its VM goes, nothing is published, and the topic is told.
    """
    builder = alerting
    repo.write({"rides.ipynb": notebook(DATED, "print('never')")})
    builder.cloud.faults.add({"method": "vm.boot", "action": "idle"})
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
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 6, output
    assert "verdict: RED, scheduled for 2018-04-01, event lost (exit code 6" in output
    assert f"lost event {event}: run another has it now" in output
    (told,) = pulled(builder.cloud)
    assert (told["reason"], told["event"], told["exit_code"]) == ("event_lost", event, 6)
    until(lambda: builder.left() == [], "the VM's end")
    assert not (builder.cloud.state / "storage" / BUCKET / builder.prefix / "versions").exists()


def test_plan_reports_mistakes_of_a_message(builder: Builder, repo: Repo) -> None:
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
