"""When jobs fire on the virtual clock: by schedule, by hand, again after a failure, and after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from google.cloud.scheduler_v1 import Job

from tests.localcloud.pubsub.conftest import eventually, refusal
from tests.localcloud.scheduler.conftest import JOB, TOPIC, World

State = Job.State


def test_a_job_publishes_when_it_is_due(world: World) -> None:
    world.topic()
    job = world.job(pubsub_target={"topic_name": TOPIC, "data": b"go", "attributes": {"k": "v"}})
    assert world.published() == []
    world.until(job)
    (message,) = world.published()
    assert (message.data, dict(message.attributes)) == (b"go", {"k": "v"})
    assert 0 <= message.publish_time.timestamp() - job.schedule_time.timestamp() < 1
    fired = world.get()
    assert fired.last_attempt_time.timestamp() - job.schedule_time.timestamp() < 1
    assert fired.schedule_time.timestamp() - job.schedule_time.timestamp() == 3600
    assert fired.status.code == 0


def test_every_time_that_a_jump_passes_is_fired_once_and_in_order(world: World) -> None:
    world.topic()
    job = world.job(retry_config={"retry_count": 3})
    first = job.schedule_time.timestamp()
    world.clock.advance(5 * 3600)
    times = sorted(message.publish_time.timestamp() for message in world.published())
    assert [round(when - first) for when in times] == [0, 3600, 7200, 10800, 14400]


def test_a_time_zone_decides(world: World) -> None:
    job = world.job(schedule="30 5 * * *", time_zone="Asia/Kolkata")
    assert job.schedule_time.timestamp() % 86_400 == 0


def test_a_topic_that_is_not_there_is_a_failed_attempt_and_no_more(world: World) -> None:
    job = world.job()
    world.until(job)
    failed = world.get()
    assert failed.status.code == 5
    assert failed.state == State.ENABLED
    assert failed.schedule_time.timestamp() - job.schedule_time.timestamp() == 3600
    world.topic()
    world.until(failed)
    assert len(world.published()) == 1
    assert world.get().status.code == 0


def test_a_failed_attempt_is_retried_with_a_growing_pause(world: World) -> None:
    backoff = {"min_backoff_duration": {"seconds": 60}, "retry_count": 3}
    job = world.job(schedule="0 0 * * *", retry_config=backoff)
    due = job.schedule_time.timestamp()
    world.until(job)
    for pause in (60, 120):
        due += pause
        planned = world.get()
        assert abs(planned.schedule_time.timestamp() - due) < 3
        if pause == 120:
            world.topic()
        world.until(planned)
    assert len(world.published()) == 1
    done = world.get()
    assert done.status.code == 0
    assert done.schedule_time.timestamp() - job.schedule_time.timestamp() == 86_400


def test_retries_end(world: World) -> None:
    job = world.job(schedule="0 0 * * *", retry_config={"retry_count": 2})
    world.until(job)
    world.clock.advance(3600)
    assert world.get().schedule_time.timestamp() - job.schedule_time.timestamp() == 86_400
    world.topic()
    world.clock.advance(3600)
    assert world.published() == []


def test_times_that_retries_go_through_are_skipped(world: World) -> None:
    pause = {"seconds": 3000}
    retries = {"retry_count": 2, "min_backoff_duration": pause, "max_backoff_duration": pause}
    due = world.job(retry_config=retries).schedule_time.timestamp()
    for after, attempt, planned in ((3001, 3000, 6000), (3700, 3000, 6000), (6001, 6000, 7200)):
        world.clock.advance(due + after - world.clock.now())
        job = world.get()
        assert abs(job.last_attempt_time.timestamp() - due - attempt) < 3
        assert abs(job.schedule_time.timestamp() - due - planned) < 3


def test_a_run_fires_at_once_and_leaves_the_schedule(world: World) -> None:
    world.topic()
    job = world.job(schedule="0 0 1 1 *")
    assert world.client().run_job(name=JOB) == job
    eventually(lambda: len(world.published()) == 1)
    after = world.get()
    assert after.schedule_time == job.schedule_time
    assert abs(after.last_attempt_time.timestamp() - world.clock.now()) < 20


def test_a_paused_job_does_not_fire_but_runs(world: World) -> None:
    world.topic()
    world.job()
    assert world.client().pause_job(name=JOB).state == State.PAUSED
    status, words = refusal(lambda: world.client().pause_job(name=JOB))
    assert (status, "PAUSED" in words) == ("FAILED_PRECONDITION", True)
    world.clock.advance(3 * 3600)
    assert world.published() == []
    world.client().run_job(name=JOB)
    eventually(lambda: len(world.published()) == 1)
    resumed = world.client().resume_job(name=JOB)
    assert resumed.state == State.ENABLED
    assert refusal(lambda: world.client().resume_job(name=JOB))[0] == "FAILED_PRECONDITION"
    assert 0 < resumed.schedule_time.timestamp() - world.clock.now() <= 3600
    world.until(resumed)
    assert len(world.published()) == 1


def test_jobs_go_on_after_a_restart_and_make_up_for_nothing(
    start: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = start()
    world.topic()
    made = world.job(schedule="0 * * * *")
    day = 86_400
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + day)
    world = start()
    assert world.published() == []
    job = world.get()
    assert job.user_update_time == made.user_update_time
    assert day - 10 < job.schedule_time.timestamp() - made.schedule_time.timestamp() <= day + 3600
    world.until(job)
    assert len(world.published()) == 1


def test_a_paused_job_stays_paused_over_a_restart(start: Callable[[], World]) -> None:
    world = start()
    world.job()
    world.client().pause_job(name=JOB)
    world = start()
    world.topic()
    world.clock.advance(7200)
    assert world.get().state == State.PAUSED
    assert world.published() == []
