"""How builds end that do not end well: failing siblings, cancel, time limits, the queue, bugs, and the end of localcloud."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.cloudbuild.process import ProcessRunner
from localcloud.cloudbuild.process.runner import ProcessRoom, ProcessStep
from localcloud.cloudbuild.runner import RunnerError, StepOrder
from localcloud.iam import PROJECT
from tests.localcloud.cloudbuild.world import Json, World, eventually, one, served, shell

FOREVER = "echo pid $$$$ up; sleep 600"


def is_gone(world: World, build_id: str) -> bool:
    """Say that the processes are gone that named themselves in the log."""
    pids = [int(number) for number in re.findall(r"pid (\d+) up", world.log(build_id))]
    assert pids
    return not any(Path(f"/proc/{pid}").exists() for pid in pids if pid != os.getpid())


def statuses(build: Json) -> list[str]:
    return [step["status"] for step in build["steps"]]


def test_ten_parallel_steps_of_which_one_fails(world: World) -> None:
    """Two are over by then, seven are killed, and what waits for all of them never starts."""
    steps = [
        shell("echo done", id="s0", waitFor=["-"]),
        shell("exit 9", id="s1", waitFor=["-"], allowFailure=True),
        shell("while ! test -e go; do sleep 0.02; done; exit 5", id="s2", waitFor=["-"]),
        *(shell(FOREVER, id=f"s{number}", waitFor=["-"]) for number in range(3, 9)),
        shell(FOREVER + "; touch never", id="s9", waitFor=["s0", "s1"]),
        shell("echo last"),
    ]
    build_id = world.start({"steps": steps})
    world.wait_for(build_id, *(f'"s{number}": pid ' for number in range(3, 10)))
    (room,) = world.service._builds._folder.glob("*/room/workspace")
    (room / "go").touch()
    ended = world.ended(build_id)
    assert ended["status"] == "FAILURE"
    assert statuses(ended) == ["SUCCESS", "FAILURE", "FAILURE", *["CANCELLED"] * 7, "QUEUED"]
    assert ended["statusDetail"] == 'build step 2 "ubuntu" failed: step exited with non-zero status: 5'
    assert "timing" in ended["steps"][9]
    assert "timing" not in ended["steps"][10]
    assert is_gone(world, build_id)
    assert world.lines(build_id)[-2] == "ERROR"
    assert "last" not in world.log(build_id)


def test_cancel_ends_a_build_at_once(world: World) -> None:
    build_id = world.start(
        {"steps": [shell(f"trap '' TERM INT; (setsid sleep 600 &); {FOREVER}"), shell("true")]}
    )
    world.wait_for(build_id, " up")
    answer = world.client().cancel_build(project_id=PROJECT, id=build_id)
    assert answer.status.name == "CANCELLED"
    ended = world.ended(build_id)
    assert statuses(ended) == ["CANCELLED", "QUEUED"]
    assert ended["statusDetail"] == "context canceled"
    assert "failureInfo" not in ended
    assert is_gone(world, build_id)
    assert world.lines(build_id)[-2:] == ["CANCELLED", "ERROR: context canceled"]
    with pytest.raises(BadRequest, match="is already finished: its status is CANCELLED"):
        world.client().cancel_build(project_id=PROJECT, id=build_id)


def test_a_finished_build_cannot_be_cancelled(world: World) -> None:
    build_id = world.run(one("true"))["id"]
    for _ in range(2):
        with pytest.raises(BadRequest, match="is already finished: its status is SUCCESS"):
            world.client().cancel_build(project_id=PROJECT, id=build_id)
    status, error = world.rest("POST", f"projects/{PROJECT}/builds/{build_id}:cancel", {})
    assert (status, error["status"]) == (400, "FAILED_PRECONDITION")


def test_a_build_whose_source_does_not_come_can_be_cancelled(world: World) -> None:
    source = world.put_source({"a": "b"})
    world.faults.add(
        {
            "method": "storage.objects.get",
            "match": {"alt": "media"},
            "action": "stall",
            "args": {"seconds": 30},
        }
    )
    build_id = world.start(one("true", source=source))
    eventually(lambda: all(fault["consumed"] for fault in world.faults.inventory()))
    assert world.client().cancel_build(project_id=PROJECT, id=build_id).status.name == "CANCELLED"


def test_the_builds_time_limit(world: World) -> None:
    build_id = world.start({"steps": [shell(FOREVER, timeout="120s"), shell("true")], "timeout": "120s"})
    world.wait_for(build_id, " up")
    world.clock.advance(119)
    assert world.record(build_id)["status"] == "WORKING"
    world.clock.advance(2)
    ended = world.ended(build_id)
    assert ended["status"] == "TIMEOUT"
    assert statuses(ended) == ["WORKING", "QUEUED"]
    assert is_gone(world, build_id)
    assert world.lines(build_id)[-2:] == ["TIMEOUT", "ERROR: context deadline exceeded"]


def test_the_default_time_limit_is_an_hour(world: World) -> None:
    build_id = world.start(one(FOREVER))
    world.wait_for(build_id, " up")
    world.clock.advance(3599)
    assert world.record(build_id)["status"] == "WORKING"
    world.clock.advance(2)
    assert world.ended(build_id)["status"] == "TIMEOUT"


@pytest.mark.parametrize(("allowed", "status"), [(False, "FAILURE"), (True, "SUCCESS")])
def test_a_steps_time_limit(world: World, allowed: bool, status: str) -> None:  # noqa: FBT001
    steps = [shell(FOREVER, timeout="60s", allowFailure=allowed), shell("true")]
    build_id = world.start({"steps": steps})
    world.wait_for(build_id, " up")
    world.clock.advance(61)
    ended = world.ended(build_id)
    assert ended["status"] == status
    assert statuses(ended) == ["TIMEOUT", "SUCCESS" if allowed else "QUEUED"]
    assert is_gone(world, build_id)
    if not allowed:
        assert world.lines(build_id)[-1] == 'ERROR: build step 0 "ubuntu" failed: context deadline exceeded'


def test_ten_builds_run_at_once_and_the_others_wait(world: World) -> None:
    running = [world.start(one(FOREVER)) for _ in range(10)]
    for build_id in running:
        world.wait_for(build_id, " up")
    impatient = world.start(one("true", queueTtl="120s"))
    unwanted, patient = world.start(one("true")), world.start(one("echo at last"))
    assert {world.record(each)["status"] for each in (impatient, unwanted, patient)} == {"QUEUED"}
    world.clock.advance(118)
    assert world.record(impatient)["status"] == "QUEUED"
    world.clock.advance(2)
    expired = world.ended(impatient)
    assert (expired["status"], statuses(expired)) == ("EXPIRED", ["QUEUED"])
    assert "startTime" not in expired
    assert world.client().cancel_build(project_id=PROJECT, id=unwanted).status.name == "CANCELLED"
    assert world.client().cancel_build(project_id=PROJECT, id=running[0]).status.name == "CANCELLED"
    assert world.ended(patient)["status"] == "SUCCESS"
    assert {world.record(each)["status"] for each in running[1:]} == {"WORKING"}


def test_a_step_that_cannot_be_started(world: World) -> None:
    steps = [shell(FOREVER, waitFor=["-"]), {"name": "golang", "waitFor": ["-"], "allowFailure": True}]
    ended = world.run({"steps": steps})
    assert ended["status"] == "FAILURE"
    assert ended["statusDetail"].startswith('build step 1 "golang" failed: image golang cannot run')
    assert "--runner docker" in ended["statusDetail"]
    assert f"ERROR: {ended['statusDetail']}" in world.lines(ended["id"])
    assert statuses(ended) == ["CANCELLED", "FAILURE"]


class Broken(ProcessRunner):
    """A runner with something to hide."""

    def __init__(self, name: str, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.name = name
        self._error = error

    def open(self, build_id: str, folder: Path) -> ProcessRoom:  # noqa: ARG002
        raise self._error()


def test_a_runner_that_has_no_room(world: World) -> None:
    world.runners["closed"] = Broken("closed", lambda: RunnerError("no Docker engine answers"))
    ended = world.run(one("true"), runner="closed")
    assert (ended["status"], ended["statusDetail"]) == ("FAILURE", "no Docker engine answers")


def test_a_bug_ends_the_build_and_is_found(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.runners["broken"] = Broken("broken", lambda: ZeroDivisionError("oh"))
    ended = world.run(one("true"), runner="broken")
    assert ended["status"] == "INTERNAL_ERROR"
    assert "ZeroDivisionError" in ended["statusDetail"]
    found = world.findings.inventory()["internal_errors"]
    assert [error["where"] for error in found] == [f"build {ended['id']}"]
    world.findings._errors.clear()
    assert "a bug" in capfd.readouterr().err


class LeakyRoom(ProcessRoom):
    def step_output(self, index: int) -> bytes:  # noqa: ARG002
        raise ZeroDivisionError("oh")


class Leaky(ProcessRunner):
    def open(self, build_id: str, folder: Path) -> ProcessRoom:  # noqa: ARG002
        return LeakyRoom(folder.resolve(), None)


def test_a_bug_in_a_steps_thread_leaves_nothing_running(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.runners["leaky"] = Leaky()
    steps = [shell(FOREVER, waitFor=["-"]), shell("sleep 0.3", waitFor=["-"])]
    ended = world.run({"steps": steps}, runner="leaky")
    assert ended["status"] == "INTERNAL_ERROR"
    assert is_gone(world, ended["id"])
    world.findings._errors.clear()
    assert "a bug" in capfd.readouterr().err


class LateRoom(ProcessRoom):
    """A room in which the second step has only just started when the build ends."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)
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
    def open(self, build_id: str, folder: Path) -> ProcessRoom:  # noqa: ARG002
        return LateRoom(folder.resolve())


def test_a_step_that_has_just_started_is_cancelled_too(world: World) -> None:
    world.runners["late"] = Late()
    steps = [shell("sleep 0.3; exit 1", waitFor=["-"]), shell(FOREVER, waitFor=["-"])]
    ended = world.run({"steps": steps}, runner="late")
    assert (ended["status"], statuses(ended)) == ("FAILURE", ["FAILURE", "CANCELLED"])


def test_builds_are_kept_and_unfinished_ones_end_with_localcloud(tmp_path: Path) -> None:
    with served(tmp_path / "cloud") as world:
        finished = world.run(one("echo kept", tags=["old"]))
        cut = world.start(one(FOREVER))
        world.wait_for(cut, " up")
    with served(tmp_path / "cloud") as world:
        assert world.record(finished["id"]) == finished
        assert "kept" in world.lines(finished["id"])
        ended = world.record(cut)
        assert ended["status"] == "INTERNAL_ERROR"
        assert ended["statusDetail"] == "localcloud ended before the build did"
        assert world.service.log(cut, 0)[1]
        newest = world.run(one("true"))["id"]
        assert [build.id for build in world.client().list_builds(project_id=PROJECT)] == [
            newest,
            cut,
            finished["id"],
        ]


def test_a_killed_localcloud_leaves_builds_that_the_next_one_ends(tmp_path: Path) -> None:
    with served(tmp_path / "cloud") as world:
        build_id = world.run(one("true"))["id"]
        record = world.service._builds.find(build_id)
        assert record is not None
        record.update({"status": "WORKING"})
        record.room.mkdir()
    with served(tmp_path / "cloud") as world:
        ended = world.record(build_id)
        assert (ended["status"], ended["statusDetail"]) == (
            "INTERNAL_ERROR",
            "localcloud ended before the build did",
        )
        assert not record.room.exists()
        assert world.client().get_build(project_id=PROJECT, id=build_id).status.name == "INTERNAL_ERROR"


def test_faults_act_on_calls(world: World) -> None:
    world.faults.add(
        {"method": "cloudbuild.projects.builds.create", "action": "error", "args": {"status": 429}}
    )
    assert world.rest("POST", f"projects/{PROJECT}/builds", one("true"))[0] == 429
