"""Builds that do not succeed: failing siblings, cancel, time limits, the queue, bugs, and the end of localcloud."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.core.iam import PROJECT
from localcloud.engines.build import RunnerError, StepOrder
from localcloud.engines.build_process import ProcessRunner
from localcloud.engines.build_process.images import ProcessImages
from localcloud.engines.build_process.runner import ProcessStep, ProcessWorker
from localcloud.profile import OWN_IMAGE
from tests.localcloud.cloudbuild.cloud_fixture import CloudFixture, Json, one, shell
from tests.polling import eventually

FOREVER = "echo pid $$$$ up; sleep 600"


def is_gone(cloud_fixture: CloudFixture, build_id: str) -> bool:
    """True if the processes whose ids are in the log are gone."""
    pids = [int(number) for number in re.findall(r"pid (\d+) up", cloud_fixture.log(build_id))]
    assert pids
    return not any(Path(f"/proc/{pid}").exists() for pid in pids if pid != os.getpid())


def statuses(build: Json) -> list[str]:
    return [step["status"] for step in build["steps"]]


def test_ten_parallel_steps_of_which_one_fails(cloud_fixture: CloudFixture) -> None:
    """Two have ended by then, seven are killed, and a step that waits for all of them never starts."""
    steps = [
        shell("echo done", id="s0", waitFor=["-"]),
        shell("echo done", id="s1", waitFor=["-"]),
        shell("while ! test -e go; do sleep 0.02; done; exit 5", id="s2", waitFor=["-"]),
        *(shell(FOREVER, id=f"s{number}", waitFor=["-"]) for number in range(3, 9)),
        shell(FOREVER + "; touch never", id="s9", waitFor=["s0", "s1"]),
        shell("echo last"),
    ]
    build_id = cloud_fixture.start({"steps": steps})
    cloud_fixture.wait_for(build_id, *(f'"s{number}": pid ' for number in range(3, 10)))
    (worker,) = cloud_fixture.service._builds._folder.glob("*/worker/workspace")
    (worker / "go").touch()
    ended = cloud_fixture.ended(build_id)
    assert ended["status"] == "FAILURE"
    assert statuses(ended) == ["SUCCESS", "SUCCESS", "FAILURE", *["CANCELLED"] * 7, "QUEUED"]
    assert ended["statusDetail"] == 'build step 2 "ubuntu" failed: step exited with non-zero status: 5'
    assert is_gone(cloud_fixture, build_id)
    assert cloud_fixture.lines(build_id)[-2] == "ERROR"
    assert "last" not in cloud_fixture.log(build_id)


@pytest.mark.parametrize(("allowed", "status"), [(True, "SUCCESS"), (False, "FAILURE")])
def test_a_step_that_may_fail_does_not_fail_its_build(
    cloud_fixture: CloudFixture, *, allowed: bool, status: str
) -> None:
    build_id = cloud_fixture.start({"steps": [shell("exit 5", allowFailure=allowed), shell("echo next")]})
    ended = cloud_fixture.ended(build_id)
    assert ended["status"] == status
    assert (ended["steps"][0]["status"], ended["steps"][0]["exitCode"]) == ("FAILURE", 5)
    assert statuses(ended)[1] == ("SUCCESS" if status == "SUCCESS" else "QUEUED")
    assert ("next" in cloud_fixture.log(build_id)) == (status == "SUCCESS")


def test_cancel_ends_a_build_at_once(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.start(
        {"steps": [shell(f"trap '' TERM INT; (setsid sleep 600 &); {FOREVER}"), shell("true")]}
    )
    cloud_fixture.wait_for(build_id, " up")
    answer = cloud_fixture.client().cancel_build(project_id=PROJECT, id=build_id)
    assert answer.status.name == "CANCELLED"
    ended = cloud_fixture.ended(build_id)
    assert statuses(ended) == ["CANCELLED", "QUEUED"]
    assert ended["statusDetail"] == "context canceled"
    assert is_gone(cloud_fixture, build_id)
    assert cloud_fixture.lines(build_id)[-2:] == ["CANCELLED", "ERROR: context canceled"]
    with pytest.raises(BadRequest, match="is already finished: its status is CANCELLED"):
        cloud_fixture.client().cancel_build(project_id=PROJECT, id=build_id)


def test_a_finished_build_cannot_be_cancelled(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.run(one("true"))["id"]
    for _ in range(2):
        with pytest.raises(BadRequest, match="is already finished: its status is SUCCESS"):
            cloud_fixture.client().cancel_build(project_id=PROJECT, id=build_id)
    status, error = cloud_fixture.rest("POST", f"projects/{PROJECT}/builds/{build_id}:cancel", {})
    assert (status, error["status"]) == (400, "FAILED_PRECONDITION")


def test_a_build_whose_source_does_not_come_can_be_cancelled(cloud_fixture: CloudFixture) -> None:
    source = cloud_fixture.put_source({"a": "b"})
    cloud_fixture.faults.add(
        {
            "method": "storage.objects.get",
            "match": {"alt": "media"},
            "action": "stall",
            "args": {"seconds": 30},
        }
    )
    build_id = cloud_fixture.start(one("true", source=source))
    eventually(lambda: all(fault["consumed"] for fault in cloud_fixture.faults.inventory()))
    assert cloud_fixture.client().cancel_build(project_id=PROJECT, id=build_id).status.name == "CANCELLED"


def test_the_builds_time_limit(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.start(
        {"steps": [shell(FOREVER, timeout="120s"), shell("true")], "timeout": "120s"}
    )
    cloud_fixture.wait_for(build_id, " up")
    cloud_fixture.clock.advance(119)
    assert cloud_fixture.record(build_id)["status"] == "WORKING"
    cloud_fixture.clock.advance(2)
    ended = cloud_fixture.ended(build_id)
    assert ended["status"] == "TIMEOUT"
    assert statuses(ended) == ["WORKING", "QUEUED"]
    assert is_gone(cloud_fixture, build_id)
    assert cloud_fixture.lines(build_id)[-2:] == ["TIMEOUT", "ERROR: context deadline exceeded"]


def test_the_default_time_limit_is_an_hour(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.start(one(FOREVER))
    cloud_fixture.wait_for(build_id, " up")
    cloud_fixture.clock.advance(3599)
    assert cloud_fixture.record(build_id)["status"] == "WORKING"
    cloud_fixture.clock.advance(2)
    assert cloud_fixture.ended(build_id)["status"] == "TIMEOUT"


def test_a_steps_time_limit(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.start({"steps": [shell(FOREVER, timeout="60s"), shell("true")]})
    cloud_fixture.wait_for(build_id, " up")
    cloud_fixture.clock.advance(61)
    ended = cloud_fixture.ended(build_id)
    assert (ended["status"], statuses(ended)) == ("FAILURE", ["TIMEOUT", "QUEUED"])
    assert is_gone(cloud_fixture, build_id)
    words = 'ERROR: build step 0 "ubuntu" failed: context deadline exceeded'
    assert cloud_fixture.lines(build_id)[-1] == words


def test_ten_builds_run_at_once_and_the_others_wait(cloud_fixture: CloudFixture) -> None:
    running = [cloud_fixture.start(one(FOREVER)) for _ in range(10)]
    for build_id in running:
        cloud_fixture.wait_for(build_id, " up")
    impatient = cloud_fixture.start(one("true", queueTtl="120s"))
    unwanted, patient = cloud_fixture.start(one("true")), cloud_fixture.start(one("echo at last"))
    assert {cloud_fixture.record(each)["status"] for each in (impatient, unwanted, patient)} == {"QUEUED"}
    cloud_fixture.clock.advance(118)
    assert cloud_fixture.record(impatient)["status"] == "QUEUED"
    cloud_fixture.clock.advance(2)
    expired = cloud_fixture.ended(impatient)
    assert (expired["status"], statuses(expired)) == ("EXPIRED", ["QUEUED"])
    assert "startTime" not in expired
    assert cloud_fixture.client().cancel_build(project_id=PROJECT, id=unwanted).status.name == "CANCELLED"
    assert cloud_fixture.client().cancel_build(project_id=PROJECT, id=running[0]).status.name == "CANCELLED"
    assert cloud_fixture.ended(patient)["status"] == "SUCCESS"
    assert {cloud_fixture.record(each)["status"] for each in running[1:]} == {"WORKING"}


def test_a_step_that_cannot_be_started(cloud_fixture: CloudFixture) -> None:
    steps = [shell(FOREVER, waitFor=["-"]), {"name": "golang", "waitFor": ["-"]}]
    ended = cloud_fixture.run({"steps": steps})
    assert ended["status"] == "FAILURE"
    assert ended["statusDetail"].startswith('build step 1 "golang" failed: image golang cannot run')
    assert "--runner docker" in ended["statusDetail"]
    assert f"ERROR: {ended['statusDetail']}" in cloud_fixture.lines(ended["id"])
    assert statuses(ended) == ["CANCELLED", "FAILURE"]


class Broken(ProcessRunner):
    """A runner whose error has a secret."""

    def __init__(self, name: str, error: Callable[[], Exception]) -> None:
        super().__init__(OWN_IMAGE)
        self.name = name
        self._error = error

    def open(self, build_id: str, folder: Path) -> ProcessWorker:  # noqa: ARG002
        raise self._error()


def test_a_runner_that_opens_no_worker(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.runners["closed"] = Broken("closed", lambda: RunnerError("no Docker engine answers"))
    ended = cloud_fixture.run(one("true"), runner="closed")
    assert (ended["status"], ended["statusDetail"]) == ("FAILURE", "no Docker engine answers")


def test_a_bug_ends_the_build_and_is_found(
    cloud_fixture: CloudFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud_fixture.runners["broken"] = Broken("broken", lambda: ZeroDivisionError("oh"))
    ended = cloud_fixture.run(one("true"), runner="broken")
    assert ended["status"] == "INTERNAL_ERROR"
    assert "ZeroDivisionError" in ended["statusDetail"]
    found = cloud_fixture.findings.inventory()["internal_errors"]
    assert [error["where"] for error in found] == [f"build {ended['id']}"]
    cloud_fixture.findings._errors.clear()
    assert "a bug" in capfd.readouterr().err


class LeakyWorker(ProcessWorker):
    def step_output(self, index: int) -> bytes:  # noqa: ARG002
        raise ZeroDivisionError("oh")


class Leaky(ProcessRunner):
    def open(self, build_id: str, folder: Path) -> ProcessWorker:  # noqa: ARG002
        return LeakyWorker(folder.resolve(), None, self.images)


def test_a_bug_in_a_steps_thread_leaves_nothing_running(
    cloud_fixture: CloudFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud_fixture.runners["leaky"] = Leaky(OWN_IMAGE)
    steps = [shell(FOREVER, waitFor=["-"]), shell("sleep 0.3", waitFor=["-"])]
    ended = cloud_fixture.run({"steps": steps}, runner="leaky")
    assert ended["status"] == "INTERNAL_ERROR"
    assert is_gone(cloud_fixture, ended["id"])
    cloud_fixture.findings._errors.clear()
    assert "a bug" in capfd.readouterr().err


class LateWorker(ProcessWorker):
    """A worker whose second step has just started when the build ends."""

    def __init__(self, folder: Path, images: ProcessImages) -> None:
        super().__init__(folder, None, images)
        self.closed = threading.Event()

    def start(self, order: StepOrder) -> ProcessStep:
        step = super().start(order)
        if order.index == 1:
            self.closed.wait()
        return step

    def close(self) -> None:
        super().close()
        self.closed.set()


class Late(ProcessRunner):
    def open(self, build_id: str, folder: Path) -> ProcessWorker:  # noqa: ARG002
        return LateWorker(folder.resolve(), self.images)


def test_a_step_that_has_just_started_is_cancelled_too(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.runners["late"] = Late(OWN_IMAGE)
    steps = [shell("sleep 0.3; exit 1", waitFor=["-"]), shell(FOREVER, waitFor=["-"])]
    ended = cloud_fixture.run({"steps": steps}, runner="late")
    assert (ended["status"], statuses(ended)) == ("FAILURE", ["FAILURE", "CANCELLED"])


def test_builds_are_kept_and_unfinished_ones_end_with_localcloud(tmp_path: Path) -> None:
    with contextlib.closing(CloudFixture(tmp_path / "cloud")) as cloud_fixture:
        finished = cloud_fixture.run(one("echo kept", tags=["old"]))
        cut = cloud_fixture.start(one(FOREVER))
        cloud_fixture.wait_for(cut, " up")
    with contextlib.closing(CloudFixture(tmp_path / "cloud")) as cloud_fixture:
        assert cloud_fixture.record(finished["id"]) == finished
        assert "kept" in cloud_fixture.lines(finished["id"])
        ended = cloud_fixture.record(cut)
        assert ended["status"] == "INTERNAL_ERROR"
        assert ended["statusDetail"] == "localcloud ended before the build did"
        assert cloud_fixture.service.log(cut, 0)[1]
        newest = cloud_fixture.run(one("true"))["id"]
        assert [build.id for build in cloud_fixture.client().list_builds(project_id=PROJECT)] == [
            newest,
            cut,
            finished["id"],
        ]


def test_a_killed_localcloud_leaves_builds_that_the_next_one_ends(tmp_path: Path) -> None:
    with contextlib.closing(CloudFixture(tmp_path / "cloud")) as cloud_fixture:
        build_id = cloud_fixture.run(one("true"))["id"]
        record = cloud_fixture.service._builds.find(build_id)
        assert record is not None
        record.update({"status": "WORKING"})
        record.worker.mkdir()
    with contextlib.closing(CloudFixture(tmp_path / "cloud")) as cloud_fixture:
        ended = cloud_fixture.record(build_id)
        assert (ended["status"], ended["statusDetail"]) == (
            "INTERNAL_ERROR",
            "localcloud ended before the build did",
        )
        assert not record.worker.exists()
        assert (
            cloud_fixture.client().get_build(project_id=PROJECT, id=build_id).status.name == "INTERNAL_ERROR"
        )


def test_faults_act_on_calls(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.faults.add(
        {"method": "cloudbuild.projects.builds.create", "action": "error", "args": {"status": 429}}
    )
    assert cloud_fixture.rest("POST", f"projects/{PROJECT}/builds", one("true"))[0] == 429
