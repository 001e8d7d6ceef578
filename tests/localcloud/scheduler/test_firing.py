"""Jobs on the virtual clock: by schedule, by hand, again after a failure, and after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from google.cloud.scheduler_v1 import Job

from tests.localcloud.pubsub.conftest import refusal
from tests.localcloud.scheduler.conftest import JOB, TOPIC, CloudFixture
from tests.polling import eventually

State = Job.State


def test_a_job_publishes_when_it_is_due(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    job = cloud_fixture.job(pubsub_target={"topic_name": TOPIC, "data": b"go", "attributes": {"k": "v"}})
    assert cloud_fixture.published() == []
    cloud_fixture.until(job)
    (message,) = cloud_fixture.published()
    assert (message.data, dict(message.attributes)) == (b"go", {"k": "v"})
    assert 0 <= message.publish_time.timestamp() - job.schedule_time.timestamp() < 50
    fired = cloud_fixture.get()
    assert fired.last_attempt_time.timestamp() - job.schedule_time.timestamp() < 50
    assert fired.schedule_time.timestamp() - job.schedule_time.timestamp() == 3600
    assert fired.status.code == 0


def test_every_time_that_a_jump_passes_is_fired_once_and_in_order(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    job = cloud_fixture.job(retry_config={"retry_count": 3})
    first = job.schedule_time.timestamp()
    cloud_fixture.clock.advance(5 * 3600)
    times = sorted(message.publish_time.timestamp() for message in cloud_fixture.published())
    assert [round(when - first) for when in times] == [0, 3600, 7200, 10800, 14400]


def test_a_time_zone_decides(cloud_fixture: CloudFixture) -> None:
    job = cloud_fixture.job(schedule="30 5 * * *", time_zone="Asia/Kolkata")
    assert job.schedule_time.timestamp() % 86_400 == 0


def test_a_topic_that_is_not_there_is_a_failed_attempt_and_no_more(cloud_fixture: CloudFixture) -> None:
    job = cloud_fixture.job()
    cloud_fixture.until(job)
    failed = cloud_fixture.get()
    assert failed.status.code == 5
    assert failed.state == State.ENABLED
    assert failed.schedule_time.timestamp() - job.schedule_time.timestamp() == 3600
    cloud_fixture.topic()
    cloud_fixture.until(failed)
    assert len(cloud_fixture.published()) == 1
    assert cloud_fixture.get().status.code == 0


def test_a_failed_attempt_is_retried_with_a_growing_pause(cloud_fixture: CloudFixture) -> None:
    backoff = {"min_backoff_duration": {"seconds": 60}, "retry_count": 3}
    job = cloud_fixture.job(schedule="0 0 * * *", retry_config=backoff)
    due = job.schedule_time.timestamp()
    cloud_fixture.until(job)
    for pause in (60, 120):
        due += pause
        planned = cloud_fixture.get()
        assert abs(planned.schedule_time.timestamp() - due) < 50
        if pause == 120:
            cloud_fixture.topic()
        cloud_fixture.until(planned)
    assert len(cloud_fixture.published()) == 1
    done = cloud_fixture.get()
    assert done.status.code == 0
    assert done.schedule_time.timestamp() - job.schedule_time.timestamp() == 86_400


def test_retries_end(cloud_fixture: CloudFixture) -> None:
    job = cloud_fixture.job(schedule="0 0 * * *", retry_config={"retry_count": 2})
    cloud_fixture.until(job)
    cloud_fixture.clock.advance(3600)
    assert cloud_fixture.get().schedule_time.timestamp() - job.schedule_time.timestamp() == 86_400
    cloud_fixture.topic()
    cloud_fixture.clock.advance(3600)
    assert cloud_fixture.published() == []


def test_times_that_retries_go_through_are_skipped(cloud_fixture: CloudFixture) -> None:
    pause = {"seconds": 3000}
    retries = {"retry_count": 2, "min_backoff_duration": pause, "max_backoff_duration": pause}
    due = cloud_fixture.job(retry_config=retries).schedule_time.timestamp()
    for after, attempt, planned in ((3001, 3000, 6000), (3700, 3000, 6000), (6001, 6000, 7200)):
        cloud_fixture.clock.advance(due + after - cloud_fixture.clock.now())
        job = cloud_fixture.get()
        assert abs(job.last_attempt_time.timestamp() - due - attempt) < 50
        assert abs(job.schedule_time.timestamp() - due - planned) < 50


def test_a_run_fires_at_once_and_leaves_the_schedule(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    job = cloud_fixture.job(schedule="0 0 1 1 *")
    assert cloud_fixture.client().run_job(name=JOB) == job
    eventually(lambda: len(cloud_fixture.published()) == 1)
    after = cloud_fixture.get()
    assert after.schedule_time == job.schedule_time
    assert abs(after.last_attempt_time.timestamp() - cloud_fixture.clock.now()) < 600


def test_a_paused_job_does_not_fire_but_runs(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.topic()
    cloud_fixture.job()
    assert cloud_fixture.client().pause_job(name=JOB).state == State.PAUSED
    status, words = refusal(lambda: cloud_fixture.client().pause_job(name=JOB))
    assert (status, "PAUSED" in words) == ("FAILED_PRECONDITION", True)
    cloud_fixture.clock.advance(3 * 3600)
    assert cloud_fixture.published() == []
    cloud_fixture.client().run_job(name=JOB)
    eventually(lambda: len(cloud_fixture.published()) == 1)
    resumed = cloud_fixture.client().resume_job(name=JOB)
    assert resumed.state == State.ENABLED
    assert refusal(lambda: cloud_fixture.client().resume_job(name=JOB))[0] == "FAILED_PRECONDITION"
    assert 0 < resumed.schedule_time.timestamp() - cloud_fixture.clock.now() <= 3600
    cloud_fixture.until(resumed)
    assert len(cloud_fixture.published()) == 1


def test_jobs_go_on_after_a_restart_and_make_up_for_nothing(
    start: Callable[[], CloudFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud_fixture = start()
    cloud_fixture.topic()
    made = cloud_fixture.job(schedule="0 * * * *")
    day = 86_400
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + day)
    cloud_fixture = start()
    assert cloud_fixture.published() == []
    job = cloud_fixture.get()
    assert job.user_update_time == made.user_update_time
    assert day - 10 < job.schedule_time.timestamp() - made.schedule_time.timestamp() <= day + 3600
    cloud_fixture.until(job)
    assert len(cloud_fixture.published()) == 1


def test_a_paused_job_stays_paused_over_a_restart(start: Callable[[], CloudFixture]) -> None:
    cloud_fixture = start()
    cloud_fixture.job()
    cloud_fixture.client().pause_job(name=JOB)
    cloud_fixture = start()
    cloud_fixture.topic()
    cloud_fixture.clock.advance(7200)
    assert cloud_fixture.get().state == State.PAUSED
    assert cloud_fixture.published() == []
