"""SIGKILL at the calls of a deployment: the next deployment ends as one that nobody killed.

`make test` has two calls of each change. `make test-all` has, on one of three days, a sample that NB_SEED chooses.
`make soak` has every call: before its effect, and between effect and reply. `deploy` is a real process. Each call kills
a first deployment, then a move, which creates the function and the job in another region, and then an update, which
patches both.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from google.oauth2.credentials import Credentials

import localcloud.cloud
from builder.deploy.context import DeploymentContext
from builder.deploy.function_source import FunctionSource
from builder.deploy.promotion import PromotionRequest, promote
from builder.deploy.withdrawal import undeploy
from builder.errors import ExitCode
from builder.gcp.clients import Access
from builder.gcp.deploying import open_clients
from builder.gcp.storage import GoogleObjectStore
from builder.options import Options
from builder.report.console import Console
from builder.waiting import Cancellation
from localcloud.core.iam import PROJECT, email
from localcloud.core.spec import Spec
from localcloud.services.registry import SPECS
from tests.deploy.cloud_fixture import SERVICES, serve_cloud, source
from tests.deploy.deployment_fixture import BUCKET, DeploymentFixture
from tests.integration.killable import (
    SIDES,
    KillableProcess,
    KillingFaults,
    kill_at_each_call,
    sampled_calls,
)
from tests.moving_clock import Address, MovingClock, served

DEPLOYER = "notebook-deployer"
# Functions start in real time. With a clock that runs this many times slower, a busy machine starts them in time.
_SLOWER = 20
MIN_POINTS = 75
_SAMPLE = 3
# The changes of an update.
PATCHES = (
    "cloudfunctions.projects.locations.functions.patch",
    "cloudscheduler.projects.locations.jobs.patch",
)
_FUNCTION = "cloudfunctions.projects.locations.functions.create"
_JOB = "cloudscheduler.projects.locations.jobs.create"
# First deployment and move: the function is created, but live.json is not written; it is, but there is no schedule.
_FEW = ((_FUNCTION, SIDES[1], PATCHES[0]), (_JOB, SIDES[0], PATCHES[1]))


@dataclass(frozen=True)
class Order:
    """The work of the process: to deploy this request to the services at `url`, whose clock `clock` moves."""

    url: str
    clock: Address
    token: str
    request: PromotionRequest
    options: Options
    source: bytes


class _SlowClock(MovingClock):
    """See MovingClock."""

    def sleep(self, seconds: float) -> None:
        """Move both clocks a little. Raises Interrupted when the run is cancelled."""
        super().sleep(seconds / _SLOWER)


def deploy(order: Order, console: Console) -> ExitCode:
    """In the process: carry out the deployment. Raises BuilderError."""
    deployment = order.options.deployment
    assert deployment is not None
    clock = _SlowClock(order.clock, Cancellation())
    credentials = Credentials(token=order.token, account=email(DEPLOYER))
    access = Access(credentials, PROJECT, dict.fromkeys(SERVICES, order.url))
    context = DeploymentContext(
        options=order.options,
        deployment=deployment,
        project=PROJECT,
        store=GoogleObjectStore(access, BUCKET, clock),
        clients=open_clients(access, clock),
        source=FunctionSource(order.source, hashlib.sha256(order.source).hexdigest()),
        log=console.line,
    )
    console.line(promote(order.request, context))
    return ExitCode.GREEN


class DeploymentFaults(KillingFaults):
    """Kills a deployment."""

    def __init__(self, specs: Sequence[Spec] = SPECS) -> None:
        super().__init__(specs, account=DEPLOYER)


class Crashes:
    """Deployments to one cloud, each killed at one of its calls and then repeated."""

    def __init__(
        self, deployment_fixture: DeploymentFixture, faults: DeploymentFaults, folder: Path, clock: Address
    ) -> None:
        self._fixture, self._faults, self._folder, self._processes = deployment_fixture, faults, folder, 0
        self._clock = clock
        self._changes = (self._make_first, self._move, self._update)
        self._states: list[dict[str, Any]] = []
        for number, change in enumerate(self._changes, 1):
            change()
            self._fixture.prove(self._fixture.request(), f"run-{number}")
            before = Counter(self._fixture.cloud_fixture.calls())
            self._states.append(self._deploy_undisturbed())
            self._made = Counter(self._fixture.cloud_fixture.calls()) - before
        self._calls_of_update = dict.fromkeys(SIDES, sys.maxsize)

    def check_update(self) -> None:
        """Check that the update patched the function and the job, created none, and changed all that it can."""
        ours = {name for name in self._made if name.startswith(("cloudfunctions", "cloudscheduler"))}
        assert {name for name in ours if name.endswith((".create", ".patch", ".delete"))} == set(PATCHES)
        moved, updated = self._states[1:]
        same = {key for key, value in updated.items() if value == moved[key]}
        assert same == {"functions", "regions", "topics", "subscriptions"}

    def at(self, place: int | str, side: str, method: str = "") -> bool:
        """Kill the deployments at a call, and assert how the repeated ones end. False if none has such a call.

        `place`: the number of the call; or its method, at whose first call the first deployment and the move must both
        be killed. `method`: kill the update at its first call of this method instead, which it must have.
        """
        undeploy(self._fixture.context())
        for one in self._fixture.store().list("ci/live/"):
            self._fixture.store().delete(one.name)
        first = self._killed(0, place, side)
        moved = self._killed(1, place, side)
        if isinstance(place, str):
            assert first, f"the first deployment never calls {place}"
            assert moved, f"the move never calls {place}"
        if method:
            assert self._killed(2, method, side), f"the update never calls {method}"
            return first or moved
        assert isinstance(place, int), "an update makes other calls"
        updated = place < self._calls_of_update[side] and self._killed(2, place, side)
        if not updated:  # the update has no later call either, so it is left out from now on
            self._calls_of_update[side] = min(place, self._calls_of_update[side])
        return first or moved or updated

    def _killed(self, change: int, place: int | str, side: str) -> bool:
        self._changes[change]()
        killed = self._deploy_killed(place, side)
        what = f"killed {side} of call {place} of the {('first deployment', 'move', 'update')[change]}"
        assert self._fixture.state() == self._states[change], what
        return killed

    def _deploy_killed(self, place: int | str, side: str) -> bool:
        process = self._process()
        self._faults.count()
        self._faults.kill_at(process, place, side)
        process.start()
        ended = process.end()
        self._faults.rest()
        assert ended is (None if process.killed else ExitCode.GREEN), process.log
        if process.killed:
            self._deploy_undisturbed()
        return process.killed

    def _deploy_undisturbed(self) -> dict[str, Any]:
        process = self._process()
        process.start()
        assert process.end() is ExitCode.GREEN, process.log
        return self._fixture.state()

    def _process(self) -> KillableProcess:
        self._processes += 1
        cloud, request = self._fixture.cloud_fixture.cloud, self._fixture.request()
        token = cloud.iam.token(email(DEPLOYER))[0]
        order = Order(cloud.url, self._clock, token, request, self._fixture.loaded, self._fixture.zip)
        return KillableProcess(self._folder, f"deploy-{self._processes}", partial(deploy, order))

    def _make_first(self) -> None:
        self._fixture.write("day = '2018-04-01'")
        self._fixture.options = {"NB_SCHEDULE": "0 6 * * 1", "NB_REGION": "us-central1", "NB_TOPIC": "news"}
        self._fixture.zip = source()

    def _move(self) -> None:
        """Change the bytes, the schedule, the region, the topic, and the function's source."""
        self._fixture.write("day = '2018-04-02'")
        self._fixture.options |= {
            "NB_SCHEDULE": "0 7 * * 1",
            "NB_REGION": "europe-west1",
            "NB_TOPIC": "other",
        }
        self._fixture.zip = source(version=2)

    def _update(self) -> None:
        """Change the bytes, the schedule, and the function's source, environment and account, all in their places."""
        self._fixture.write("day = '2018-04-03'")
        url = self._fixture.cloud_fixture.cloud.url
        self._fixture.options |= {
            "NB_SCHEDULE": "0 8 * * 2",
            "NB_TIME_ZONE": "Europe/Vienna",
            "NB_TRIGGER_SERVICE_ACCOUNT": email("notebook-function"),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": url.replace("127.0.0.1", "localhost"),
        }
        self._fixture.zip = source(version=3)


@pytest.fixture
def crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashes]:
    monkeypatch.setattr(localcloud.cloud, "FaultPlan", DeploymentFaults)
    with serve_cloud(tmp_path / "cloud") as cloud_fixture, served(cloud_fixture.cloud.clock) as clock:
        faults = cast("DeploymentFaults", cloud_fixture.cloud.faults)
        yield Crashes(DeploymentFixture(cloud_fixture, tmp_path / "shop"), faults, tmp_path, clock)


def test_after_a_crash_at_a_call_of_each_change_the_next_deployment_ends_as_usual(crashes: Crashes) -> None:
    crashes.check_update()
    for place, side, method in _FEW:
        assert crashes.at(place, side, method)


@pytest.mark.exhaustive
def test_after_a_crash_at_calls_of_a_sample_the_next_deployment_ends_as_usual(crashes: Crashes) -> None:
    for side in SIDES:
        for number in sampled_calls(side, MIN_POINTS, _SAMPLE):
            assert crashes.at(number, side)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("side", SIDES)
def test_after_a_crash_at_any_call_the_next_deployment_ends_as_usual(crashes: Crashes, side: str) -> None:
    kill_at_each_call(crashes.at, side, MIN_POINTS)
    for method in PATCHES:  # the number of such a call varies with the polls before it
        assert crashes.at(0, side, method)
