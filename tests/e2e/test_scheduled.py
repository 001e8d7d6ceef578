"""Scheduled runs on real VMs: the dates that were promised, one run per event, and what is left where a day is red."""

from __future__ import annotations

import json
import time

import pytest
from google.oauth2.credentials import Credentials

from builder.act.waiting import Cancellation, RealClock
from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from localcloud.cloud import Cloud
from localcloud.iam import PROJECT, email
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
        "NB_OUTPUT": "versions/<date>",
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
    assert f"verdict: GREEN, duplicate of event-e-{builder.prefix} (green) (exit code 0)" in again.output
    assert "requested in" not in again.output
    assert version(first, "2018-03-31", "rides") == published
    assert builder.cloud.inventory()["calls"]["compute.instances.insert"] == inserts


def test_a_red_day_leaves_its_green_version_alone(builder: Builder, repo: Repo) -> None:
    repo.write({"rides.ipynb": notebook(DATED, "assert city == 'Paris', city")})
    options = {"NB_NOTEBOOKS": "rides.ipynb", "NB_OUTPUT": "versions/<date>"}
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


def test_a_run_whose_event_another_one_has_stops_with_6(builder: Builder, repo: Repo) -> None:
    """The other one took over while this builder was thought dead; its VM goes, and nothing is published."""
    repo.write({"rides.ipynb": notebook(DATED, "import time; time.sleep(100)")})
    event = f"e-{builder.prefix}"
    process, environment = builder.start(
        NB_NOTEBOOKS="rides.ipynb", NB_OUTPUT="versions/<date>", NB_EVENT="{}", NB_EVENT_ID=event
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
    assert "verdict: RED, event lost (exit code 6" in output
    assert f"event {event} is run another's now" in output
    assert time.monotonic() - began < 40
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
        NB_OUTPUT="versions/<date>",
        NB_SCHEDULE_PARAMETERS=SCHEDULE,
        NB_EVENT='{"today": "2018-04-01"}',
    )
    assert good.code == 0, good.output
    assert "scheduled, for 2018-04-01" in good.output
    assert '{"start": "2018-03-01", "end": "2018-04-01"}' in good.output
    assert "/versions/2018-04-01/rides/" in good.output
