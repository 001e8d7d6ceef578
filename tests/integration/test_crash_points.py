"""SIGKILL at the calls of a run: the next run is as green, and after the deadline nothing is left.

`make test` has three calls. `make test-all` has, on one of three days, a sample that NB_SEED chooses. `make soak` has
every call: before its effect, and between effect and reply. The builder is a real process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.act.sweep import sweep
from builder.errors import ExitCode
from builder.kit import Kit
from builder.plan.build_plan import Plan
from localcloud.core.iam import Iam, email
from localcloud.services.storage import StorageService
from tests.integration.cloud_fixture import CloudFixture, opened
from tests.integration.killable import (
    SIDES,
    KillableProcess,
    KillingFaults,
    Order,
    kill_at_each_call,
    killable_run,
    sampled_calls,
)
from tests.integration.simulated_guests import green

# No VM lives longer; and no dead run holds its event longer.
_BEYOND_ANY_DEADLINE = 20_000.0
_EVENT_IS_FREE = 1000.0
_SCHEDULED = {"NB_EVENT": '{"today": "2018-04-01"}'}
MIN_POINTS = 35
_SAMPLE = 6
# The first call of each: before the VM is requested, when it is requested, and while results are published. The numbers
# of a run's calls vary, since its threads make them.
_FEW = ("storage.objects.insert", "compute.instances.insert", "storage.objects.rewrite")


@pytest.fixture
def faults() -> KillingFaults:
    return KillingFaults()


@pytest.fixture
def cloud_fixture(
    tmp_path: Path, storage: StorageService, identities: Iam, faults: KillingFaults
) -> Iterator[CloudFixture]:
    with opened(tmp_path / "cloud", storage, identities, faults=faults) as made:
        made.use_prefix(tmp_path.name)
        made.guests, made.guests_may_break = [green], True
        yield made


class Crashes:
    """Runs of one plan, each killed at one of its calls."""

    def __init__(
        self, cloud: CloudFixture, faults: KillingFaults, plan: Plan, kit: Kit, folder: Path
    ) -> None:
        self.cloud, self._faults, self.plan, self._kit, self._folder = cloud, faults, plan, kit, folder

    def builder(self, run_id: str, event: str | None) -> KillableProcess:
        token = self.cloud.iam.token(email("notebook-builder"))[0]
        return killable_run(
            Order(
                self.cloud.url,
                self.cloud.clock_address,
                token,
                self.plan,
                run_id,
                event,
                self._kit,
                self._folder,
            )
        )

    def at(self, place: int | str, side: str) -> bool:
        """Kill a run at a call of this number, or at the first one of this method; repeat it, and assert what is left.

        Returns False if the run has no such call.
        """
        name = f"{place}-{side.partition(' ')[0]}".replace(".", "-")
        event = f"event-{name}" if self.plan.scheduled else None
        first = self.builder(f"killed-{name}", event)
        self._faults.count()
        self._faults.kill_at(first, place, side)
        first.start()
        ended = first.end()
        self._faults.rest()
        if not first.killed:
            assert ended is ExitCode.GREEN, first.log
            return False
        assert ended is None
        if event:
            self.cloud.clock.advance(_EVENT_IS_FREE)
        again = self.builder(f"repeated-{name}", event)
        again.start()
        assert again.end() is ExitCode.GREEN, (self.cloud.said, again.log)
        if not event:  # an event that was over before the kill is not carried out again
            self.check_summary(f"repeated-{name}")
        self.check_results()
        self.check_leftovers()
        return True

    def check_summary(self, run: str) -> None:
        """The repeated run says that its notebook is green, and has its results."""
        store, location = self.cloud.store(), self.plan.location
        summary = json.loads(store.read(location.object("results", run, "summary.json")) or b"{}")
        assert summary["verdict"] == "green"
        folder = location.object("results", run, self.plan.jobs[0].job)
        result = json.loads(store.read(f"{folder}/result.json") or b"{}")
        assert result["verdict"] == "green"
        assert store.stat(f"{folder}/outputs/out.csv") is not None

    def check_results(self) -> None:
        """Every proof has its summary, and the day's folder is whole."""
        store, location = self.cloud.store(), self.plan.location
        names = {item.name for item in store.list(location.object() + "/")}
        proofs = [name for name in names if "/proofs/" in name and "/latest/" not in name]
        assert proofs or self.plan.scheduled
        for name in proofs:
            run = json.loads(store.read(name) or b"")["run"]
            assert location.object("results", run, "summary.json") in names, name
        if self.plan.scheduled:
            folder = location.object("versions", "2018-04-01", self.plan.jobs[0].job)
            result = json.loads(store.read(f"{folder}/result.json") or b"")
            assert result["verdict"] == "green"
            assert f"{folder}/outputs/out.csv" in names

    def check_leftovers(self) -> None:
        """No attempt had two VMs, and after the deadline no VM, no disk, and no note of one is left."""
        accepted = [item.body for item in self.cloud.compute.inserts() if item.accepted and not item.replayed]
        nonces = Counter(_job(body)["nonce"] for body in accepted)
        assert set(nonces.values()) <= {1}, "an attempt had two VMs"
        self.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
        store, location = self.cloud.store(), self.plan.location
        sweep(
            self.cloud.machines(), self.cloud.fleet(), self.cloud.said.append, store=store, location=location
        )
        assert self.cloud.left() == []
        assert store.list(location.object("open") + "/") == []


def _job(body: dict[str, Any]) -> dict[str, Any]:
    items = {item["key"]: item["value"] for item in body["metadata"]["items"]}
    found: dict[str, Any] = json.loads(items["nb-job"])
    return found


@pytest.fixture(params=["by hand", "scheduled"])
def crashes(
    request: pytest.FixtureRequest,
    cloud_fixture: CloudFixture,
    faults: KillingFaults,
    small_kit: Kit,
    tmp_path: Path,
) -> Crashes:
    options = _SCHEDULED if request.param == "scheduled" else {}
    plan = cloud_fixture.plan(tmp_path / "repo", **options)
    return Crashes(cloud_fixture, faults, plan, small_kit, tmp_path)


@pytest.mark.always(1)
@pytest.mark.parametrize("side", [pytest.param(SIDES[0], marks=pytest.mark.exhaustive), SIDES[1]])
def test_after_a_crash_at_one_of_three_calls_the_next_run_is_as_green(crashes: Crashes, side: str) -> None:
    for method in _FEW:
        assert crashes.at(method, side), f"the run never calls {method}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("side", SIDES)
def test_after_a_crash_at_calls_of_a_sample_the_next_run_is_as_green(crashes: Crashes, side: str) -> None:
    for number in sampled_calls(side, MIN_POINTS, _SAMPLE):
        assert crashes.at(number, side)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("side", SIDES)
def test_after_a_crash_at_any_call_the_next_run_is_as_green(crashes: Crashes, side: str) -> None:
    kill_at_each_call(crashes.at, side, MIN_POINTS)
