"""A whole run under faults of each call that it makes.

Passing ones are not noticed, a lasting one ends with its exit code.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from builder.errors import BuilderError, ExitCode
from builder.gcp.clients import CALL_TIMEOUT
from builder.plan.build_plan import Plan
from builder.waiting import Cancellation
from tests.integration.cloud_fixture import CloudFixture, StandIn
from tests.integration.simulated_guests import green, open_session
from tests.integration.test_calls import HELD_BACK
from tests.listed_calls import LISTED, unlisted
from tests.patience import HANGS
from tests.timeouts import record_timeouts

BUILDER = {"caller": "notebook-builder@*"}
TRANSIENT: dict[str, dict[str, Any]] = {
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
# A run can end before it makes a call that decides nothing, and a VM can be there before anybody waits for it.
MAY_MISS = frozenset({method for method, code in ENDS.items() if code is ExitCode.GREEN}) | {
    "compute.zoneOperations.wait"
}
_MANY, _AT_ONCE = 40, 8  # notebooks
# Seconds that all tries of an outage wait for an answer, on all threads: 210, and 3,500 to 4,500. They depend less on
# the machine than the length of the run does.
_MAX_WAITED = {"from the start": 400.0, "while VMs run": 7000.0}
_SCALE = 60.0
_MAX_SECONDS = 3600.0  # moved seconds: far below the limits of a job, which are hours


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
    # On a busy machine, the sweep sees the run's own VM and asks for the time, and a first heartbeat is late.
    assert set(made) - {"compute.zones.list", "compute.instances.getSerialPortOutput"} == set(ENDS)
    assert set(ENDS) <= LISTED


@pytest.mark.parametrize("fault", TRANSIENT)
def test_three_transient_faults_of_every_call_at_once_are_not_noticed(
    cloud_fixture: CloudFixture, plan: Plan, fault: str
) -> None:
    cloud_fixture.may_miss = MAY_MISS
    for method in ENDS:
        cloud_fixture.fault(method, match=BUILDER, times=3, **TRANSIENT[fault])
    assert end(cloud_fixture, plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert len(cloud_fixture.inserted()) == 1, "a lost reply made two VMs"
    assert cloud_fixture.left() == []
    assert cloud_fixture.log.getvalue().splitlines()[-1] == "left behind: nothing"


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("method", ENDS)
def test_three_transient_faults_of_one_call_are_not_noticed(
    cloud_fixture: CloudFixture, plan: Plan, method: str, fault: str
) -> None:
    cloud_fixture.may_miss = MAY_MISS
    cloud_fixture.fault(method, match=BUILDER, times=3, **TRANSIENT[fault])
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
    cloud_fixture.may_miss = MAY_MISS
    cloud_fixture.fault(method, "error", match=BUILDER, times=10_000, status=503)
    started = cloud_fixture.time.monotonic()
    ended = end(cloud_fixture, plan)
    (fault,) = cloud_fixture.faults.inventory()
    assert ended is (ENDS[method] if fault["consumed"] else ExitCode.GREEN), cloud_fixture.log.getvalue()
    assert cloud_fixture.time.monotonic() - started < _MAX_SECONDS
    assert len(cloud_fixture.inserted()) <= 1
    if method == "compute.instances.delete":
        # The VM ended by itself, and with that its deadline: it is named, and the next sweep takes it.
        (name, _) = cloud_fixture.left()
        assert f"gcloud compute instances delete {name}" in cloud_fixture.log.getvalue().splitlines()[-1]
    else:
        assert cloud_fixture.left() == []


class FastClock:
    """Real time, in which a minute takes a second. Sleeps of several threads pass at once, as they do."""

    longest = 0.0

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation

    def monotonic(self) -> float:
        return time.monotonic() * _SCALE

    def sleep(self, seconds: float) -> None:
        self._cancellation.check()
        time.sleep(seconds / _SCALE)


@pytest.mark.parametrize(
    "moment", ["from the start", pytest.param("while VMs run", marks=pytest.mark.exhaustive)]
)
def test_a_run_that_nothing_answers_any_more_ends_in_minutes(
    cloud_fixture: CloudFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(cloud_fixture, "time", FastClock(cloud_fixture.cancellation))
    for name in ("machines", "store"):
        made = partial(getattr(cloud_fixture, name), timeout=CALL_TIMEOUT / _SCALE)
        monkeypatch.setattr(cloud_fixture, name, made)
    silent_since: list[float] = []
    once = threading.Lock()

    def hang() -> None:
        with once:
            if not silent_since:
                for service in ("compute.*", "storage.*"):
                    cloud_fixture.fault(service, "stall", match=BUILDER, times=100_000, seconds=HANGS)
                silent_since.append(cloud_fixture.time.monotonic())

    def living(cloud: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud, machine)
        session.beat("notebook")
        machine.off.wait(20 / _SCALE)
        hang()
        while not machine.off.wait(5 / _SCALE):
            session.beat("notebook")

    longest = (CALL_TIMEOUT + HELD_BACK["compute.zoneOperations.wait"]) / _SCALE
    waited = record_timeouts(monkeypatch, cloud_fixture.url, longest)
    if moment == "from the start":
        cloud_fixture.may_miss = frozenset({"compute.*"})
        hang()
    cloud_fixture.guests = [living]
    notebooks = [f"{number}.ipynb" for number in range(_MANY)]
    plan = cloud_fixture.plan(tmp_path / "repo", notebooks, NB_CONCURRENCY=str(_AT_ONCE))
    try:
        code = cloud_fixture.run(plan)
    except BuilderError as error:
        code = error.exit_code
    took = cloud_fixture.time.monotonic() - silent_since[0]
    print(f"{_MANY} notebooks, silent {moment}: the run ends {took:.0f} s after the last answer")
    assert code is ExitCode.ENVIRONMENT_FAILED
    seconds = [timeout * _SCALE for timeout in waited if timeout is not None]
    print(f"{len(waited)} tries waited for {sum(seconds):.0f} s in all")
    assert 0 < len(seconds) == len(waited), "a try had no timeout"
    assert sum(seconds) < _MAX_WAITED[moment]
    # Most notebooks come later, and nobody could delete their VMs.
    assert len(cloud_fixture.inserted()) < _MANY / 2
    told = cloud_fixture.log.getvalue()
    assert [name for name in cloud_fixture.alive() if f"instances delete {name}" not in told] == []
