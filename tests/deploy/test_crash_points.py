"""SIGKILL at the calls of a deployment: the next deployment ends as one that nobody killed.

`make test` has two calls, `make test-all` a sample that NB_SEED chooses, and `make soak` every call: before its
effect, and between effect and reply. `deploy` is a real process. Each call kills a first deployment, and then a change
of everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from google.oauth2.credentials import Credentials

import localcloud.cloud
from builder.deploy.context import DeploymentContext
from builder.deploy.function_source import FunctionSource
from builder.deploy.promotion import Request, promote
from builder.deploy.withdrawal import undeploy
from builder.errors import ExitCode
from builder.gcp.clients import Access
from builder.gcp.deploying import open_clients
from builder.gcp.storage import GoogleObjectStore
from builder.options import Options
from builder.report.console import Console
from builder.waiting import Cancellation
from localcloud.core.iam import PROJECT, email
from tests.deploy.cloud_fixture import SERVICES, serve_cloud, source
from tests.deploy.deployment_fixture import BUCKET, DeploymentFixture
from tests.integration.killable import (
    SIDES,
    KillableProcess,
    KillingFaults,
    MovingClock,
    kill_at_each_call,
    sampled_calls,
)

DEPLOYER = "notebook-deployer"
LEAST_POINTS = 75
_SAMPLE = 3
# The function is created, but not recorded as live, and live.json is not written.
_FEW = ((19, SIDES[1]), (58, SIDES[0]))


@dataclass(frozen=True)
class Order:
    """The work of the process: to deploy this request to the services at `url`."""

    url: str
    token: str
    request: Request
    options: Options
    source: bytes


def deploy(order: Order, console: Console) -> ExitCode:
    """In the process: carry out the deployment. Raises BuilderError."""
    deployment = order.options.deployment
    assert deployment is not None
    clock = MovingClock(order.url, Cancellation())
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


class Crashes:
    """Deployments to one cloud, each killed at one of its calls and then repeated."""

    def __init__(self, deployment_fixture: DeploymentFixture, faults: KillingFaults, folder: Path) -> None:
        self._fixture, self._faults, self._folder, self._processes = deployment_fixture, faults, folder, 0
        self._make_first()
        self._fixture.prove(self._fixture.request())
        self._first = self._deploy_undisturbed()
        self._change_everything()
        self._fixture.prove(self._fixture.request(), "run-2")
        self._second = self._deploy_undisturbed()

    def at(self, number: int, side: str) -> bool:
        """Kill both deployments at a call, and assert how the repeated ones end. False if neither has such a call."""
        undeploy(self._fixture.context())
        for one in self._fixture.store().list("ci/live/"):
            self._fixture.store().delete(one.name)
        self._make_first()
        first = self._deploy_killed(number, side)
        assert self._fixture.state() == self._first, f"killed {side} of call {number} of the first deployment"
        self._change_everything()
        second = self._deploy_killed(number, side)
        assert self._fixture.state() == self._second, (
            f"killed {side} of call {number} of the second deployment"
        )
        return first or second

    def _deploy_killed(self, number: int, side: str) -> bool:
        process = self._process()
        self._faults.count()
        self._faults.kill_at(process, number, side)
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
        order = Order(cloud.url, token, request, self._fixture.loaded, self._fixture.zip)
        return KillableProcess(self._folder, f"deploy-{self._processes}", partial(deploy, order))

    def _make_first(self) -> None:
        self._fixture.write("day = '2018-04-01'")
        self._fixture.options |= {"NB_SCHEDULE": "0 6 * * 1", "NB_REGION": "us-central1", "NB_TOPIC": "news"}
        self._fixture.zip = source()

    def _change_everything(self) -> None:
        """Change the bytes, the schedule, the region, the topic, and the function's source."""
        self._fixture.write("day = '2018-04-02'")
        self._fixture.options |= {
            "NB_SCHEDULE": "0 7 * * 1",
            "NB_REGION": "europe-west1",
            "NB_TOPIC": "other",
        }
        self._fixture.zip = source(version=2)


@pytest.fixture
def crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashes]:
    monkeypatch.setattr(localcloud.cloud, "FaultPlan", partial(KillingFaults, account=DEPLOYER))
    with serve_cloud(tmp_path / "cloud") as cloud_fixture:
        faults = cast("KillingFaults", cloud_fixture.cloud.faults)
        yield Crashes(DeploymentFixture(cloud_fixture, tmp_path / "shop"), faults, tmp_path)


def test_after_a_crash_at_one_of_two_calls_the_next_deployment_ends_as_usual(crashes: Crashes) -> None:
    for number, side in _FEW:
        assert crashes.at(number, side)


@pytest.mark.exhaustive
def test_after_a_crash_at_calls_of_a_sample_the_next_deployment_ends_as_usual(crashes: Crashes) -> None:
    for side in SIDES:
        for number in sampled_calls(side, LEAST_POINTS, _SAMPLE):
            assert crashes.at(number, side)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("side", SIDES)
def test_after_a_crash_at_any_call_the_next_deployment_ends_as_usual(crashes: Crashes, side: str) -> None:
    kill_at_each_call(crashes.at, side, LEAST_POINTS)
