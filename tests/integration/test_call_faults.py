"""A whole run under faults of each call that it makes.

Passing ones are not noticed, a lasting one ends with its exit code.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.errors import BuilderError, ExitCode
from builder.gcp.clients import CALL_TIMEOUT
from builder.plan.build_plan import Plan
from tests.integration.cloud_fixture import CloudFixture, MovedClock, StandIn
from tests.integration.simulated_guests import green, open_session
from tests.listed_calls import LISTED, unlisted
from tests.patience import HANGS

BUILDER = {"caller": "notebook-builder@*"}
PASSING: dict[str, dict[str, Any]] = {
    "503": {"action": "error", "status": 503},
    "429": {"action": "error", "status": 429},
    "reset": {"action": "drop_before"},
    "reply lost": {"action": "drop_after"},
}
# The calls of a green run of one notebook, and how the run ends if one of them answers 503 without end. The catalog
# of machine types and the looks at other VMs decide no verdict.
ENDS = {
    "compute.images.getFromFamily": ExitCode.ENVIRONMENT_FAILED,
    "compute.instances.aggregatedList": ExitCode.GREEN,
    "compute.instances.delete": ExitCode.CLEANUP_UNCONFIRMED,
    "compute.instances.get": ExitCode.GREEN,
    "compute.instances.insert": ExitCode.ENVIRONMENT_FAILED,
    "compute.machineTypes.aggregatedList": ExitCode.GREEN,
    "compute.zoneOperations.wait": ExitCode.ENVIRONMENT_FAILED,
    "storage.objects.delete": ExitCode.GREEN,
    "storage.objects.get": ExitCode.ENVIRONMENT_FAILED,
    "storage.objects.insert": ExitCode.ENVIRONMENT_FAILED,
    "storage.objects.list": ExitCode.ENVIRONMENT_FAILED,
    "storage.objects.rewrite": ExitCode.ENVIRONMENT_FAILED,
}
_LONGEST_OUTAGE = 600.0  # seconds from the last answer to the end of the run
_SCALE = 300.0
_LONGEST = 3600.0  # moved seconds: far below the limits of a job, which are hours


def end(cloud_fixture: CloudFixture, plan: Plan) -> ExitCode:
    """Run one notebook; the exit code, also of a run that could not begin."""
    cloud_fixture.guests = [green]
    try:
        return cloud_fixture.run(plan)
    except BuilderError as error:
        return error.exit_code


def test_a_green_run_makes_these_calls_and_each_has_a_row(cloud_fixture: CloudFixture, plan: Plan) -> None:
    assert end(cloud_fixture, plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    made = cloud_fixture.findings.inventory()["calls"]
    assert unlisted(made) == []
    # The sweep asks for the time only if it sees a VM, and on a busy machine it sees the run's own.
    assert set(made) - {"compute.zones.list"} == set(ENDS)
    assert set(ENDS) <= LISTED


@pytest.mark.parametrize("fault", PASSING)
def test_three_passing_faults_of_every_call_at_once_are_not_noticed(
    cloud_fixture: CloudFixture, plan: Plan, fault: str
) -> None:
    # A run can end before it makes a call that decides nothing, and a VM can be there before anybody waits for it.
    idle = {method for method, code in ENDS.items() if code is ExitCode.GREEN}
    cloud_fixture.may_miss = frozenset(idle | {"compute.zoneOperations.wait"})
    for method in ENDS:
        cloud_fixture.fault(method, match=BUILDER, times=3, **PASSING[fault])
    assert end(cloud_fixture, plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert len(cloud_fixture.inserted()) == 1, "a lost reply made two VMs"
    assert cloud_fixture.left() == []
    assert cloud_fixture.log.getvalue().splitlines()[-1] == "left behind: nothing"


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", ENDS)
def test_three_passing_faults_of_one_call_are_not_noticed(
    cloud_fixture: CloudFixture, plan: Plan, method: str, fault: str
) -> None:
    cloud_fixture.fault(method, match=BUILDER, times=3, **PASSING[fault])
    assert end(cloud_fixture, plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.left() == []


@pytest.mark.parametrize(
    "method",
    [
        method
        if method.rpartition(".")[2] in {"insert", "wait"}
        else pytest.param(method, marks=pytest.mark.exhaustive)
        for method in ENDS
    ],
)
def test_a_lasting_fault_of_one_call_ends_in_time_with_its_exit_code_and_tears_down(
    cloud_fixture: CloudFixture, tmp_path: Path, method: str
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1")
    cloud_fixture.fault(method, "error", match=BUILDER, times=10_000, status=503)
    started = cloud_fixture.time.monotonic()
    assert end(cloud_fixture, plan) is ENDS[method], cloud_fixture.log.getvalue()
    assert cloud_fixture.time.monotonic() - started < _LONGEST
    assert len(cloud_fixture.inserted()) <= 1
    if method == "compute.instances.delete":
        # The VM ended by itself, and with that its deadline: it is named, and the next sweep takes it.
        (name, _) = cloud_fixture.left()
        assert f"gcloud compute instances delete {name}" in cloud_fixture.log.getvalue().splitlines()[-1]
    else:
        assert cloud_fixture.left() == []


@pytest.mark.parametrize("moment", ["from the start", "while the VM runs"])
def test_a_run_that_nothing_answers_any_more_ends_within_ten_minutes(
    cloud_fixture: CloudFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Time runs three hundred times faster here, so that the 30 s of a call are 0.1 s."""
    cloud_fixture.time = MovedClock(cloud_fixture.clock, cloud_fixture.cancellation, scale=_SCALE)
    for name in ("machines", "store"):
        made = partial(getattr(cloud_fixture, name), timeout=CALL_TIMEOUT / _SCALE)
        monkeypatch.setattr(cloud_fixture, name, made)
    silent_since: list[float] = []

    def hang() -> None:
        for service in ("compute.*", "storage.*"):
            cloud_fixture.fault(service, "stall", match=BUILDER, times=10_000, seconds=HANGS)
        silent_since.append(cloud_fixture.time.monotonic())

    def living(cloud: CloudFixture, machine: StandIn) -> None:
        hang()
        session = open_session(cloud, machine)
        while not machine.off.is_set():
            session.beat("notebook")
            time.sleep(0.02)

    if moment == "from the start":
        hang()
        cloud_fixture.may_miss = frozenset({"compute.*"})
    cloud_fixture.guests = [living]
    plan = cloud_fixture.plan(tmp_path / "repo")
    try:
        code = cloud_fixture.run(plan)
    except BuilderError as error:
        code = error.exit_code
    assert code is ExitCode.ENVIRONMENT_FAILED
    assert cloud_fixture.time.monotonic() - silent_since[0] < _LONGEST_OUTAGE
    for name in cloud_fixture.alive():
        assert f"gcloud compute instances delete {name}" in cloud_fixture.log.getvalue().splitlines()[-1]
