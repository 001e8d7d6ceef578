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
from builder.errors import ExitCode, InputRefused, Interrupted, TimeLimit
from builder.ports import BuildTime, CallFailed
from tests.e2e.builder_process import until
from tests.integration.cloud_fixture import CloudFixture, StandIn
from tests.integration.simulated_guests import green, silent, vanishing
from tests.patience import PATIENCE

Json = dict[str, Any]
TIMEOUT = 3600.0


def jobs(cloud_fixture: CloudFixture, run: str) -> list[Json]:
    document = json.loads(
        cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/{run}/summary.json") or b"{}"
    )
    return list(document["jobs"])


def test_running_jobs_are_stopped_and_waiting_jobs_are_not_started(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb"), NB_CONCURRENCY="1")
    cloud_fixture.guests = [green, silent]
    code = cloud_fixture.run(plan, "ends", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 60))
    assert code is ExitCode.TIME_LIMIT, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    told = jobs(cloud_fixture, "ends")
    assert [job["reason"] for job in told] == ["green", "build_timeout", "build_timeout"]
    assert [job["attempts"] for job in told] == [1, 1, 0]
    assert told[1]["message"] == "The build's own timeout of 3600 s leaves no time."
    assert len(cloud_fixture.inserted()) == 2
    assert cloud_fixture.left() == []
    log = cloud_fixture.log.getvalue()
    advice = (
        f"Raise `timeout` in cloudbuild.yaml (worst case {plan.worst_case_seconds} s), or lower NB_TIMEOUT"
    )
    assert log.count(f"do:       {advice}") == 2
    assert "verdict: RED, 1 of 3 notebooks green (exit code 5: a time limit was reached)" in log


def test_a_job_that_failed_for_a_graver_reason_decides_the_verdict(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(
        tmp_path / "repo", ("a.ipynb", "b.ipynb"), NB_CONCURRENCY="1", NB_MAX_ATTEMPTS="1"
    )
    cloud_fixture.guests = [vanishing, silent]
    code = cloud_fixture.run(plan, "graver", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 60))
    assert code is ExitCode.ENVIRONMENT_FAILED
    assert [job["reason"] for job in jobs(cloud_fixture, "graver")] == ["vm_lost", "build_timeout"]


def test_no_second_attempt_begins_in_the_margin(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo")
    judged = threading.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if "attempt 1 of 3: " in text:
                judged.set()
            return super().write(text)

    def late() -> BuildTime:
        assert judged.wait(PATIENCE)
        return BuildTime(TIMEOUT, MARGIN - 1)

    cloud_fixture.log = Log()
    cloud_fixture.guests = [vanishing, green]
    cloud_fixture.fault("compute.instances.delete", "delay", seconds=1)
    assert cloud_fixture.run(plan, "late", build_time=late) is ExitCode.TIME_LIMIT
    (job,) = jobs(cloud_fixture, "late")
    assert job["reason"] == "build_timeout"
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.left() == []


def test_no_further_zone_is_asked_in_the_margin(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo")
    cloud_fixture.fault("compute.instances.insert", "operation_error", times=2, code="RESOURCE_NOT_READY")
    code = cloud_fixture.run(plan, "placing", build_time=lambda: BuildTime(TIMEOUT, MARGIN + 12))
    assert code is ExitCode.TIME_LIMIT, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert len(cloud_fixture.inserted()) == 2  # the third try would come 20 s after the first
    assert cloud_fixture.left() == []


def test_where_stopping_takes_too_long_the_run_leaves_as_after_a_signal(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo")

    def until_the_last_resort(place: CloudFixture, _machine: StandIn) -> None:
        place.time.sleep(MARGIN + 2)

    cloud_fixture.guests = [until_the_last_resort]
    cloud_fixture.fault("compute.instances.delete", "delay", seconds=3)
    with pytest.raises(Interrupted) as left:
        cloud_fixture.run(plan, "stuck", build_time=lambda: BuildTime(TIMEOUT, MARGIN + LAST_RESORT + 1))
    assert isinstance(left.value.cause, TimeLimit)
    (run,) = cloud_fixture.runs
    error = run.abandon(left.value).error
    assert error is not None
    assert (error.exit_code, error.reason) == (ExitCode.TIME_LIMIT, "build_timeout")
    until(lambda: cloud_fixture.left() == [], "the end of the VM, whose deletion takes 3 s")


def test_a_build_that_ends_before_any_vm_could_start_is_2_and_nothing_is_created(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb"), NB_CONCURRENCY="1")
    before = {item.name for item in cloud_fixture.store().list("")}
    with pytest.raises(InputRefused) as refused:
        cloud_fixture.run(plan, "short", build_time=lambda: BuildTime(120, MARGIN + 15))
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    assert refused.value.message == (
        "This build ends in 1 min 45 s, by its own timeout of 120 s. A run needs at least 110 s for 2 notebooks; "
        "nothing was created."
    )
    assert f"{plan.worst_case_seconds} s in the worst case" in refused.value.advice
    assert f"at most {plan.expected_seconds} s if no attempt" in refused.value.advice
    assert {item.name for item in cloud_fixture.store().list("")} == before
    assert cloud_fixture.inserted() == []


def test_a_worst_case_that_the_build_may_not_last_for_is_a_warning(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo")
    cloud_fixture.guests = [green]
    enough = BuildTime(TIMEOUT, plan.worst_case_seconds + MARGIN + 60)
    for given, warned in ((BuildTime(TIMEOUT, 3000), 1), (enough, 0)):
        cloud_fixture.log.truncate(0)
        assert (
            cloud_fixture.run(plan, build_time=partial(BuildTime, given.timeout, given.left))
            is ExitCode.GREEN
        )
        warning = "warning: this build ends in 50 min, by its own timeout of 3600 s, and the worst case is"
        assert cloud_fixture.log.getvalue().count(warning) == warned


def _refused() -> BuildTime | None:
    raise CallFailed(call="cloudbuild.builds.get", resource="b", code="403", message="no", http_status=403)


def _buggy() -> BuildTime | None:
    raise ZeroDivisionError


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: None, id="no answer"),
        pytest.param(_buggy, id="a bug"),
        pytest.param(None, id="no build", marks=pytest.mark.exhaustive),
        pytest.param(_refused, id="refused", marks=pytest.mark.exhaustive),
    ],
)
def test_an_end_that_nobody_knows_is_no_limit(cloud_fixture: CloudFixture, tmp_path: Path, ask: Any) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_BOOT_TIMEOUT="60", NB_MAX_ATTEMPTS="2")
    cloud_fixture.guests = [silent, green]
    assert cloud_fixture.run(plan, build_time=ask) is ExitCode.GREEN
    assert "warning" not in cloud_fixture.log.getvalue()
