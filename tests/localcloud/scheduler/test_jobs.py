"""Jobs by Google's own client: create, change, delete, permissions."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.scheduler_v1 import Job

from localcloud.core.iam import PROJECT_NUMBER, SCHEDULER_AGENT, email
from localcloud.core.iam.predefined import PERMISSIONS
from localcloud.profile import GRANTS
from tests.localcloud.pubsub.conftest import refusal
from tests.localcloud.scheduler.conftest import JOB, PROJECT, REGION, TOPIC, CloudFixture

State = Job.State


def update(cloud_fixture: CloudFixture, paths: list[str], **fields: Any) -> Any:
    return cloud_fixture.client().update_job(job={"name": JOB, **fields}, update_mask={"paths": paths})


def test_a_job_has_google_s_defaults(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.job(description="each hour")
    assert (made.name, made.description, made.schedule, made.time_zone) == (
        JOB,
        "each hour",
        "0 * * * *",
        "Etc/UTC",
    )
    assert made.state == State.ENABLED
    assert made.pubsub_target.topic_name == TOPIC
    assert made.pubsub_target.data == b"go"
    retry = made.retry_config
    assert (retry.retry_count, retry.max_retry_duration.total_seconds(), retry.max_doublings) == (0, 0, 5)
    assert (retry.min_backoff_duration.seconds, retry.max_backoff_duration.seconds) == (5, 3600)
    assert 0 < made.schedule_time.timestamp() - cloud_fixture.clock.now() <= 3600
    assert abs(made.user_update_time.timestamp() - cloud_fixture.clock.now()) < 600
    assert "last_attempt_time" not in made
    assert cloud_fixture.get() == made
    assert list(cloud_fixture.client().list_jobs(parent=REGION)) == [made]
    assert list(cloud_fixture.client().list_jobs(parent=f"{PROJECT}/locations/us-east1")) == []
    (listed,) = cloud_fixture.service.inventory()["scheduler.jobs"]
    assert (listed["name"], listed["state"]) == ("nightly", "ENABLED")


def test_names(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.job()
    assert refusal(cloud_fixture.job) == ("ALREADY_EXISTS", f"Job {JOB} already exists.")
    unnamed = cloud_fixture.job(name=None)
    assert unnamed.name.startswith(f"{REGION}/jobs/")
    by_number = f"projects/{PROJECT_NUMBER}/locations/us-central1/jobs/nightly"
    assert cloud_fixture.client().get_job(name=by_number).name == JOB
    for name in (
        "nightly",
        f"{REGION}/jobs/a.b",
        f"{PROJECT}/locations/us-east1/jobs/x",
        f"{REGION}/jobs/{'x' * 501}",
    ):
        status, words = refusal(partial(cloud_fixture.job, name=name))
        assert (status, words.startswith("Job name must be formatted")) == ("INVALID_ARGUMENT", True)
    status, words = refusal(
        lambda: cloud_fixture.client().create_job(parent=f"{PROJECT}/locations/mars", job={})
    )
    assert (status, words) == ("INVALID_ARGUMENT", "Location 'mars' is not a valid location.")


def test_a_job_that_is_not_there(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    for call in (client.get_job, client.delete_job, client.run_job, client.pause_job, client.resume_job):
        assert refusal(partial(call, name=JOB)) == ("NOT_FOUND", "Job not found.")
    assert refusal(lambda: update(cloud_fixture, ["schedule"], schedule="* * * * *"))[0] == "NOT_FOUND"


BAD_SCHEDULE = "Schedule or time zone is invalid."


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"schedule": "* * * *"}, "INVALID_ARGUMENT", BAD_SCHEDULE, id="four fields"),
        pytest.param({"schedule": None}, "INVALID_ARGUMENT", BAD_SCHEDULE, id="no schedule"),
        pytest.param({"time_zone": "Asia/Munbai"}, "INVALID_ARGUMENT", BAD_SCHEDULE, id="unknown time zone"),
        pytest.param({"schedule": "every 24 hours"}, "UNIMPLEMENTED", "'every 24 hours'", id="App Engine's words"),
        pytest.param({"pubsub_target": None}, "INVALID_ARGUMENT", "must have a target", id="no target"),
        pytest.param(
            {"pubsub_target": {"topic_name": TOPIC}}, "INVALID_ARGUMENT", "Pubsub message must contain either non-empty data, or at least one attribute.",
            id="message without data",
        ),
        pytest.param(
            {"pubsub_target": {"topic_name": "news", "data": b"x"}}, "INVALID_ARGUMENT", "'news'",
            id="topic by its short name",
        ),
        pytest.param(
            {"pubsub_target": {"topic_name": "projects/other/topics/news", "data": b"x"}}, "INVALID_ARGUMENT", "topic of the job's project",
            id="topic of another project",
        ),
        pytest.param(
            {"pubsub_target": None, "http_target": {"uri": "https://example.com"}}, "UNIMPLEMENTED", "httpTarget",
            id="HTTP target",
        ),
        pytest.param(
            {"pubsub_target": None, "app_engine_http_target": {"relative_uri": "/"}}, "UNIMPLEMENTED", "appEngineHttpTarget",
            id="App Engine target",
        ),
        pytest.param({"retry_config": {"retry_count": 6}}, "INVALID_ARGUMENT", "retryCount: 6", id="too many retries"),
        pytest.param(
            {"retry_config": {"retry_count": -1}}, "INVALID_ARGUMENT", "retryCount: -1",
            id="negative retries",
        ),
        pytest.param(
            {"retry_config": {"max_doublings": 17}}, "INVALID_ARGUMENT", "maxDoublings: 17",
            id="too many doublings",
        ),
        pytest.param(
            {"retry_config": {"min_backoff_duration": {"seconds": 7200}}}, "INVALID_ARGUMENT", "must not be longer",
            id="minimum backoff above the maximum",
        ),
        pytest.param({"description": "x" * 501}, "INVALID_ARGUMENT", "500 characters", id="description too long"),
        pytest.param(
            {"pubsub_target": {"topic_name": TOPIC, "data": b"x" * 800_000}}, "INVALID_ARGUMENT", "1 MB",
            id="message too long",
        ),
    ],
)  # fmt: skip
def test_a_job_that_is_refused(cloud_fixture: CloudFixture, fields: Any, status: str, words: str) -> None:
    found = refusal(lambda: cloud_fixture.job(**fields))
    assert found[0] == status
    assert words in found[1]
    assert not list(cloud_fixture.client().list_jobs(parent=REGION))


def test_an_update_changes_the_fields_of_its_mask(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    first = cloud_fixture.job(description="old", retry_config={"retry_count": 2})
    cloud_fixture.clock.advance(1)
    changed = update(
        cloud_fixture,
        ["schedule", "pubsub_target.data", "description"],
        schedule="30 * * * *",
        time_zone="Europe/Paris",
        pubsub_target={"topic_name": "projects/p/topics/ignored", "data": b"new"},
    )
    assert (changed.schedule, changed.time_zone, changed.description) == ("30 * * * *", "Etc/UTC", "")
    assert (changed.pubsub_target.topic_name, changed.pubsub_target.data) == (TOPIC, b"new")
    assert changed.retry_config.retry_count == 2
    assert changed.user_update_time > first.user_update_time
    cloud_fixture.clock.advance(2 * 3600)
    messages = cloud_fixture.published()
    assert [(one.data, round(one.publish_time.timestamp()) % 3600) for one in messages] == [
        (b"new", 1800)
    ] * 2


def test_a_job_that_was_read_can_be_changed_and_sent_back(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    cloud_fixture.job(description="kept")
    cloud_fixture.client().run_job(name=JOB)
    cloud_fixture.clock.advance(1)
    job = cloud_fixture.get()
    assert "last_attempt_time" in job
    job.schedule = "30 * * * *"
    changed = cloud_fixture.client().update_job(job=job, update_mask={"paths": ["schedule"]})
    assert (changed.schedule, changed.description, changed.state) == ("30 * * * *", "kept", State.ENABLED)
    assert changed.last_attempt_time == job.last_attempt_time
    assert changed.schedule_time != job.schedule_time


def test_a_state_in_a_create_is_ignored(cloud_fixture: CloudFixture) -> None:
    assert cloud_fixture.job(state=State.PAUSED, user_update_time={"seconds": 1}).state == State.ENABLED
    assert cloud_fixture.get().user_update_time.timestamp() > 1


@pytest.mark.parametrize(
    ("paths", "fields", "status", "words"),
    [
        pytest.param(["bogus"], {}, "INVALID_ARGUMENT", "Invalid mask for Job: bogus", id="unknown field"),
        pytest.param(["state"], {}, "INVALID_ARGUMENT", "Invalid mask for Job: state", id="state"),
        pytest.param(["name"], {}, "INVALID_ARGUMENT", "Invalid mask for Job: name", id="name"),
        pytest.param([], {"schedule": "* * * * *"}, "UNIMPLEMENTED", "by an updateMask only", id="no mask"),
        pytest.param(
            ["http_target"],
            {"http_target": {"uri": "https://example.com"}},
            "UNIMPLEMENTED",
            "kind of a job's target",
            id="HTTP target",
        ),
        pytest.param(
            ["schedule"], {"schedule": "nonsense"}, "INVALID_ARGUMENT", BAD_SCHEDULE, id="bad schedule"
        ),
        pytest.param(["pubsub_target"], {}, "INVALID_ARGUMENT", "must have a target", id="target removed"),
    ],
)
def test_an_update_that_is_refused_changes_nothing(
    cloud_fixture: CloudFixture, paths: list[str], fields: Any, status: str, words: str
) -> None:
    before = cloud_fixture.job()
    found = refusal(lambda: update(cloud_fixture, paths, **fields))
    assert found[0] == status
    assert words in found[1]
    assert cloud_fixture.get() == before


def test_an_update_leaves_a_paused_job_paused(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.job()
    cloud_fixture.client().pause_job(name=JOB)
    assert update(cloud_fixture, ["schedule"], schedule="* * * * *").state == State.PAUSED


def test_a_failed_update_is_mended_by_another(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    method = "cloudscheduler.projects.locations.jobs.patch"
    cloud_fixture.faults.add({"method": method, "action": "update_failed", "args": {"status": 500}})
    job = cloud_fixture.job()
    with pytest.raises(exceptions.InternalServerError, match="has failed"):
        update(cloud_fixture, ["schedule"], schedule="30 * * * *")
    failed = cloud_fixture.get()
    assert (failed.state, failed.schedule) == (State.UPDATE_FAILED, job.schedule)
    for call in (
        cloud_fixture.client().run_job,
        cloud_fixture.client().pause_job,
        cloud_fixture.client().resume_job,
    ):
        assert refusal(partial(call, name=JOB))[0] == "FAILED_PRECONDITION"
    cloud_fixture.clock.advance(2 * 3600)
    assert cloud_fixture.published() == []
    mended = update(cloud_fixture, ["schedule"], schedule="30 * * * *")
    assert (mended.state, mended.schedule) == (State.ENABLED, "30 * * * *")
    cloud_fixture.until(mended)
    assert len(cloud_fixture.published()) == 1
    assert [fault["consumed"] for fault in cloud_fixture.faults.inventory()] == [1]


def test_a_deleted_job_is_gone_and_its_name_free(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    job = cloud_fixture.job()
    cloud_fixture.client().delete_job(name=JOB)
    cloud_fixture.until(job)
    assert cloud_fixture.published() == []
    cloud_fixture.job()


def test_locations(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    names = [one.name for one in client.list_locations(request={"name": PROJECT}).locations]
    assert REGION in names
    assert client.get_location(request={"name": REGION}).location_id == "us-central1"
    assert (
        refusal(lambda: client.get_location(request={"name": f"{PROJECT}/locations/mars"}))[0]
        == "INVALID_ARGUMENT"
    )


METHODS = [
    ("create_job", {"parent": REGION, "job": {"schedule": "* * * * *", "pubsub_target": {"topic_name": TOPIC, "data": b"x"}}}, "create", REGION),
    ("get_job", {"name": JOB}, "get", JOB),
    ("list_jobs", {"parent": REGION}, "list", REGION),
    ("update_job", {"job": {"name": JOB}, "update_mask": {"paths": ["description"]}}, "update", JOB),
    ("run_job", {"name": JOB}, "run", JOB),
    ("pause_job", {"name": JOB}, "pause", JOB),
    ("resume_job", {"name": JOB}, "enable", JOB),
    ("delete_job", {"name": JOB}, "delete", JOB),
]  # fmt: skip


@pytest.mark.parametrize("asked", METHODS, ids=[row[0] for row in METHODS])
def test_each_method_asks_for_its_permission(
    cloud_fixture: CloudFixture, asked: tuple[str, Any, str, str]
) -> None:
    method, request_, verb, resource = asked
    cloud_fixture.job()
    if verb == "enable":
        cloud_fixture.client().pause_job(name=JOB)
    permission = f"cloudscheduler.jobs.{verb}"
    assert permission in PERMISSIONS
    member = f"serviceAccount:{email('notebook-vm')}"
    role = f"{PROJECT}/roles/tested"
    cloud_fixture.iam.policies.grant(PROJECT, role, member)
    cloud_fixture.iam.roles.put({"name": role, "includedPermissions": list(PERMISSIONS - {permission})})
    words = (
        f'The principal (user or service account) lacks IAM permission "{permission}" for the resource "{resource}" '
        "(or the resource may not exist)."
    )
    found = refusal(lambda: getattr(cloud_fixture.client("notebook-vm"), method)(request=request_))
    assert found == ("PERMISSION_DENIED", words)
    held = {permission} | ({"cloudscheduler.jobs.get"} if verb == "update" else set())
    cloud_fixture.iam.roles.put({"name": role, "includedPermissions": list(held)})
    getattr(cloud_fixture.client("notebook-vm"), method)(request=request_)


def test_the_deployer_may_do_all_that_a_deployment_needs(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client("notebook-deployer")
    target = {"topic_name": TOPIC, "data": b"x"}
    client.create_job(parent=REGION, job={"name": JOB, "schedule": "* * * * *", "pubsub_target": target})
    client.update_job(job={"name": JOB, "schedule": "0 * * * *"}, update_mask={"paths": ["schedule"]})
    for call in (client.run_job, client.pause_job, client.resume_job, client.get_job, client.delete_job):
        call(name=JOB)
    with pytest.raises(exceptions.Forbidden):
        list(client.list_jobs(parent=REGION))


def test_the_agent_needs_its_role(cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(grant.account == SCHEDULER_AGENT for grant in GRANTS)
    monkeypatch.setitem(
        cloud_fixture.iam.roles._permissions, "roles/cloudscheduler.serviceAgent", frozenset()
    )
    cloud_fixture.topic()
    cloud_fixture.until(cloud_fixture.job())
    assert cloud_fixture.published() == []
    assert cloud_fixture.get().status.code == 7
