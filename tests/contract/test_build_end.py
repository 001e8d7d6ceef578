"""A run that knows when its build ends stops before: with a verdict for each job, and without VMs."""

from __future__ import annotations

import io
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.act.build_end import LAST_RESORT, MARGIN
from builder.act.waiting import STOPPED
from builder.errors import ExitCode, Interrupted
from builder.ports import BuildTime, CallFailed
from tests.contract.guests import green, silent, vanishing
from tests.contract.world import StandIn, World
from tests.e2e.world import until

Json = dict[str, Any]
TIMEOUT = 3600.0


def jobs(world: World, run: str) -> list[Json]:
    document = json.loads(world.store().read(f"{world.prefix}/results/{run}/summary.json") or b"{}")
    return list(document["jobs"])


def test_what_is_at_work_is_stopped_and_what_waits_is_not_started(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb"), NB_CONCURRENCY="1")
    world.guests = [green, silent]
    code = world.run(plan, "ends", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 60))
    assert code is ExitCode.TIME_LIMIT, world.log.getvalue() + str(world.said)
    told = jobs(world, "ends")
    assert [job["reason"] for job in told] == ["green", "build_timeout", "build_timeout"]
    assert [job["attempts"] for job in told] == [1, 1, 0]
    assert told[1]["message"] == "The build's own timeout of 3600 s leaves no time."
    assert len(world.inserted()) == 2
    assert world.left() == []
    log = world.log.getvalue()
    advice = (
        f"Raise `timeout` in cloudbuild.yaml (worst case {plan.worst_case_seconds} s), or lower NB_TIMEOUT"
    )
    assert log.count(f"do:       {advice}") == 2
    assert "verdict: RED, 1 of 3 notebooks green (exit code 5: a time limit was reached)" in log


def test_a_job_that_failed_for_a_graver_reason_decides_the_verdict(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb"), NB_CONCURRENCY="1", NB_MAX_ATTEMPTS="1")
    world.guests = [vanishing, silent]
    code = world.run(plan, "graver", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 60))
    assert code is ExitCode.ENVIRONMENT_FAILED
    assert [job["reason"] for job in jobs(world, "graver")] == ["vm_lost", "build_timeout"]


def test_no_second_attempt_begins_in_the_margin(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo")
    judged = threading.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if "attempt 1 of 3: " in text:
                judged.set()
            return super().write(text)

    def late() -> BuildTime:
        assert judged.wait(10)
        return BuildTime(TIMEOUT, MARGIN - 1)

    world.log = Log()
    world.guests = [vanishing, green]
    world.fault("compute.instances.delete", "delay", seconds=1)
    assert world.run(plan, "late", build_time=late) is ExitCode.TIME_LIMIT
    (job,) = jobs(world, "late")
    assert job["reason"] == "build_timeout"
    assert len(world.inserted()) == 1
    assert world.left() == []


def test_no_further_zone_is_asked_in_the_margin(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo")
    world.fault("compute.instances.insert", "operation_error", times=1, code="RESOURCE_NOT_READY")
    code = world.run(plan, "placing", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 3))
    assert code is ExitCode.TIME_LIMIT, world.log.getvalue() + str(world.said)
    assert len(world.inserted()) == 1
    assert world.left() == []


def test_where_stopping_takes_too_long_the_run_leaves_as_after_a_signal(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo")

    def until_the_last_resort(place: World, _machine: StandIn) -> None:
        place.time.sleep(MARGIN)

    world.guests = [until_the_last_resort]
    world.fault("compute.instances.delete", "delay", seconds=3)
    with pytest.raises(Interrupted) as left:
        world.run(plan, "stuck", build_time=lambda: BuildTime(TIMEOUT, MARGIN + LAST_RESORT / 2))
    assert left.value.signum == STOPPED
    (run,) = world.runs
    assert run.stopped is not None
    assert (run.stopped.exit_code, run.stopped.reason) == (ExitCode.TIME_LIMIT, "build_timeout")
    run.fleet.abandon()
    until(lambda: world.left() == [], "the end of the VM, whose deletion takes 3 s")


def test_a_worst_case_that_the_build_may_not_last_for_is_a_warning(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo")
    world.guests = [green]
    enough = BuildTime(TIMEOUT, plan.worst_case_seconds + MARGIN + 60)
    for given, warned in ((BuildTime(TIMEOUT, 3000), 1), (enough, 0)):
        world.log.truncate(0)
        assert world.run(plan, build_time=partial(BuildTime, given.timeout, given.left)) is ExitCode.GREEN
        warning = "warning: this build ends in 50 min, by its own timeout of 3600 s, and the worst case is"
        assert world.log.getvalue().count(warning) == warned


def _refused() -> BuildTime | None:
    raise CallFailed(call="cloudbuild.builds.get", resource="b", code="403", message="no", http_status=403)


def _buggy() -> BuildTime | None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "ask", [None, lambda: None, _refused, _buggy], ids=["no build", "no answer", "refused", "a bug"]
)
def test_an_end_that_nobody_knows_is_no_limit(world: World, tmp_path: Path, ask: Any) -> None:
    plan = world.plan(tmp_path / "repo", NB_BOOT_TIMEOUT="60", NB_MAX_ATTEMPTS="2")
    world.guests = [silent, green]
    assert world.run(plan, build_time=ask) is ExitCode.GREEN
    assert "warning" not in world.log.getvalue()
