"""Each call of `deploy` under each transient fault, under a lasting fault, and with a server that hangs."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from builder.deploy.reconcile import reconcile
from builder.deploy.resources import Status, function_differences, subscription_missing, with_member
from builder.deploy_ports import JobConfig
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT
from builder.options.day import moment
from builder.ports import CallFailed
from builder.waiting import Cancellation
from localcloud.core.iam import PROJECT, email
from tests.deploy.cloud_fixture import NAMES, CloudFixture, PatientClock
from tests.owner import signed
from tests.patience import HANGS, PATIENCE
from tests.timeouts import record_timeouts

_SCALE = 300.0
_TIMEOUT = CALL_TIMEOUT / _SCALE
FUNCTIONS = "cloudfunctions.projects.locations.functions"
TOPIC = NAMES.topic_path
JOB = NAMES.job_path
PACKAGE = (
    f"projects/{PROJECT}/locations/us-central1/repositories/notebook-builder/packages/ci/notebook-builder"
)
VM_ACCOUNT = email("notebook-vm")
ABSENT = PACKAGE.replace("ci/notebook-builder", "ci/other")


@dataclass(frozen=True)
class CallUnderTest:
    """One call: its method ID, the call itself, the check after it, and the set-up before it."""

    method: str
    make: Callable[[CloudFixture], Any]
    check: Callable[[CloudFixture, Any], object]
    before: Callable[[CloudFixture], object] = lambda _place: None
    conflicts: bool = False  # tried again after a lost reply, it may meet its own work as a 409


def config(cloud_fixture: CloudFixture, **changed: Any) -> JobConfig:
    job = cloud_fixture.desired(**changed).job
    assert job is not None
    return job


def make_topic(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.clients().topics.create(TOPIC, {"nb-tool": "notebook-builder"})


def make_reader(cloud_fixture: CloudFixture) -> None:
    """Make the topic, and a subscription that keeps what is published."""
    make_topic(cloud_fixture)
    _call_reader(cloud_fixture, "PUT", "", {"topic": TOPIC})


def published(cloud_fixture: CloudFixture) -> set[bytes]:
    """Return the different messages that wait in the subscription."""
    answer = _call_reader(cloud_fixture, "POST", ":pull", {"maxMessages": 10})
    return {b64decode(one["message"]["data"]) for one in answer["receivedMessages"]}


def _call_reader(cloud_fixture: CloudFixture, verb: str, method: str, body: dict[str, Any]) -> Any:
    cloud = cloud_fixture.cloud
    url = f"{cloud.url}/v1/projects/{PROJECT}/subscriptions/reader{method}"
    answer = requests.request(verb, url, json=body, headers=signed(cloud.iam), timeout=PATIENCE)
    assert answer.ok, answer.text
    return answer.json()


def make_job(cloud_fixture: CloudFixture) -> None:
    make_topic(cloud_fixture)
    cloud_fixture.clients().schedules.create(JOB, config(cloud_fixture))


def create_function(cloud_fixture: CloudFixture) -> Any:
    clients, wanted = cloud_fixture.clients(), cloud_fixture.function()
    source = clients.functions.upload(NAMES.location, wanted.zip)
    operation = clients.functions.create(NAMES.function_path, wanted.config, source)
    cloud_fixture.operation = operation.name
    return operation


def start_function(cloud_fixture: CloudFixture) -> None:
    make_topic(cloud_fixture)
    create_function(cloud_fixture)


def make_function(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.time = PatientClock(cloud_fixture.cloud.clock, Cancellation())
    reconcile(cloud_fixture.desired(cron=None), cloud_fixture.clients(), cloud_fixture.logged.append)


def function_of(cloud_fixture: CloudFixture) -> Any:
    return cloud_fixture.clients().functions.get(NAMES.function_path)


def grant(cloud_fixture: CloudFixture) -> None:
    services = cloud_fixture.clients().services
    found = services.policy(NAMES.service_path)
    assert found is not None
    services.set_policy(NAMES.service_path, with_member(found, "user:me@example.com"))


def job_of(cloud_fixture: CloudFixture) -> Any:
    return cloud_fixture.clients().schedules.get(JOB)


CALLS = [
    CallUnderTest(
        "pubsub.projects.topics.get",
        lambda p: p.clients().topics.get(TOPIC),
        lambda _p, topic: topic.labels == {"nb-tool": "notebook-builder"},
        make_topic,
    ),
    CallUnderTest(
        "pubsub.projects.topics.subscriptions.list",
        lambda p: p.clients().topics.get(TOPIC),
        lambda p, topic: not subscription_missing(Status(topic, function_of(p), None, None), NAMES),
        make_function,
    ),
    CallUnderTest(
        "run.projects.locations.services.setIamPolicy",
        grant,
        lambda p, _: "user:me@example.com" in str(p.clients().services.policy(NAMES.service_path)),
        make_function,
        conflicts=True,
    ),
    CallUnderTest(
        "pubsub.projects.topics.create",
        make_topic,
        lambda p, _: p.clients().topics.get(TOPIC).labels == {"nb-tool": "notebook-builder"},  # type: ignore[union-attr]
        conflicts=True,
    ),
    CallUnderTest(
        "pubsub.projects.topics.delete",
        lambda p: p.clients().topics.delete(TOPIC),
        lambda p, deleted: deleted and p.clients().topics.get(TOPIC) is None,
        make_topic,
    ),
    CallUnderTest(
        "pubsub.projects.topics.publish",
        lambda p: p.clients("notebook-builder").topics.publish(TOPIC, b"{}"),
        lambda p, _: published(p) == {b"{}"},
        make_reader,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.get",
        lambda p: p.clients().schedules.get(JOB),
        lambda p, job: (job.config, job.target, job.state) == (config(p), "pubsub", "ENABLED"),
        make_job,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.create",
        lambda p: p.clients().schedules.create(JOB, config(p)),
        lambda p, _: job_of(p).config == config(p),
        make_topic,
        conflicts=True,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.patch",
        lambda p: p.clients().schedules.update(JOB, config(p, cron="5 5 * * *"), mask=["schedule"]),
        lambda p, _: job_of(p).config == config(p, cron="5 5 * * *"),
        make_job,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.delete",
        lambda p: p.clients().schedules.delete(JOB),
        lambda p, deleted: deleted and job_of(p) is None,
        make_job,
    ),
    CallUnderTest(
        "cloudresourcemanager.projects.testIamPermissions",
        lambda p: p.clients().project.permissions(["pubsub.topics.get"]),
        lambda _p, allowed: allowed == {"pubsub.topics.get"},
    ),
    CallUnderTest(
        "iam.projects.serviceAccounts.get",
        lambda p: p.clients("notebook-builder").project.service_account_disabled(VM_ACCOUNT),
        lambda _p, disabled: disabled is False,
    ),
    CallUnderTest(
        "iam.projects.serviceAccounts.testIamPermissions",
        lambda p: p.clients("notebook-builder").project.service_account_permissions(
            VM_ACCOUNT, ["iam.serviceAccounts.actAs"]
        ),
        lambda _p, allowed: allowed == {"iam.serviceAccounts.actAs"},
    ),
    CallUnderTest(
        "artifactregistry.projects.locations.repositories.packages.tags.get",
        lambda p: p.clients().registry.digest(PACKAGE, "latest"),
        lambda _p, digest: re.fullmatch(r"sha256:[0-9a-f]{64}", digest),
    ),
    CallUnderTest(
        "artifactregistry.projects.locations.repositories.packages.versions.get",
        lambda p: p.clients().registry.pushed(PACKAGE, p.clients().registry.digest(PACKAGE, "latest") or ""),
        lambda p, pushed: moment(pushed).timestamp() <= p.cloud.clock.now(),
    ),
    CallUnderTest(
        "cloudbuild.projects.locations.builds.get",
        lambda p: p.clients().builds.get("0-none", "us-central1"),
        lambda _p, build: build is None,
    ),
    CallUnderTest(
        "cloudbuild.projects.locations.builds.list",
        lambda p: p.clients().builds.now("us-central1"),
        lambda p, now: abs(moment(now).timestamp() - p.cloud.clock.now()) < 5,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.get",
        lambda p: p.clients().functions.get(NAMES.function_path),
        lambda p, function: function.state == "ACTIVE" and function_differences(function, p.function()) == (),
        make_function,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.generateUploadUrl",
        lambda p: p.clients().functions.upload(NAMES.location, b"zip"),
        lambda _p, uploaded: uploaded.bucket and uploaded.object,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.create",
        create_function,
        lambda _p, operation: operation.name.startswith(f"{NAMES.location}/operations/"),
        make_topic,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.patch",
        lambda p: p.clients().functions.update(
            NAMES.function_path, p.function().config, None, mask=["labels"]
        ),
        lambda _p, operation: operation is None or operation.name.startswith(f"{NAMES.location}/operations/"),
        make_function,
        conflicts=True,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.delete",
        lambda p: p.clients().functions.delete(NAMES.function_path),
        lambda _p, operation: operation is None,
    ),
    CallUnderTest(
        "cloudfunctions.projects.locations.operations.get",
        lambda p: p.clients().functions.operation(p.operation),
        lambda p, operation: (operation.name, operation.code) == (p.operation, 0),
        start_function,
    ),
    CallUnderTest(
        "run.projects.locations.services.getIamPolicy",
        lambda p: p.clients().services.policy(NAMES.service_path),
        lambda _p, policy: policy is None,
    ),
]
# A reply that is lost comes first: `make test` has it for each call.
FAULTS: dict[str, dict[str, Any]] = {
    "reply lost": {"action": "drop_after"},
    **{str(status): {"action": "error", "status": status} for status in (408, 429, 500, 502, 503, 504)},
    "reset": {"action": "drop_before"},
    "error after": {"action": "error_after", "status": 503},
}
_AFTER = {"reply lost", "error after"}
_NOW = "cloudbuild.projects.locations.builds.list"


@pytest.fixture(autouse=True)
def _no_patience(cloud_fixture: CloudFixture) -> None:
    """Let sleeps take no real time, since no test here waits for a process."""
    cloud_fixture.time = cloud_fixture.moved(1.0)


def label(call: CallUnderTest) -> str:
    return ".".join(call.method.split(".")[-2:])


@pytest.mark.always(len(CALLS))
@pytest.mark.parametrize("call", CALLS, ids=label)
@pytest.mark.parametrize("fault", FAULTS)
def test_up_to_three_transient_faults_are_not_noticed(
    cloud_fixture: CloudFixture, call: CallUnderTest, fault: str
) -> None:
    call.before(cloud_fixture)
    times = (
        1 if call.method == _NOW and "status" in FAULTS[fault] else 3
    )  # the Date is read from an error, too
    cloud_fixture.fault(call.method, times=times, **FAULTS[fault])
    answer, met = None, None
    try:
        answer = call.make(cloud_fixture)
    except CallFailed as failure:
        met = (failure.http_status, failure.repeated)
    assert met is None or (met == (409, True) and call.conflicts and fault in _AFTER)
    assert call.check(cloud_fixture, answer)
    assert cloud_fixture.consumed()[-1] == times, "a swallowed fault is met once"


_REFUSABLE = [call for call in CALLS if call.method != _NOW]


@pytest.mark.parametrize("call", _REFUSABLE, ids=label)
def test_a_lasting_refusal_is_not_repeated_and_a_fault_without_end_ends_with_the_budget(
    cloud_fixture: CloudFixture, call: CallUnderTest
) -> None:
    call.before(cloud_fixture)
    cloud_fixture.fault(call.method, "error", times=2, status=403, reason="forbidden", message="no")
    for consumed in (1, 2):
        with pytest.raises(CallFailed, match="no") as caught:
            call.make(cloud_fixture)
        assert (caught.value.http_status, caught.value.transient) == (403, False)
        assert cloud_fixture.consumed() == [consumed]
    cloud_fixture.fault(call.method, "error", times=10_000, status=503)
    started = cloud_fixture.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        call.make(cloud_fixture)
    assert caught.value.transient
    assert CALL_BUDGET - 25 < cloud_fixture.time.monotonic() - started < CALL_BUDGET + 10


@pytest.mark.parametrize("call", CALLS, ids=label)
def test_a_server_that_hangs_holds_no_call_beyond_its_budget(
    cloud_fixture: CloudFixture, call: CallUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time runs 300 times faster here: 30 s take 0.1 s."""
    call.before(cloud_fixture)
    cloud_fixture.fault(call.method, "stall", times=10_000, seconds=HANGS)
    cloud_fixture.time = cloud_fixture.moved(_SCALE)
    cloud_fixture.timeout = _TIMEOUT
    timeouts = record_timeouts(monkeypatch, cloud_fixture.cloud.url, _TIMEOUT)
    with pytest.raises(CallFailed):
        call.make(cloud_fixture)
    # No try waits longer than the client's timeout, and none begins after the budget.
    hung = cloud_fixture.consumed()[-1]
    assert 1 <= hung <= CALL_BUDGET / CALL_TIMEOUT + 1
    assert len(timeouts) >= hung
    assert all(timeout is not None and timeout <= _TIMEOUT for timeout in timeouts), timeouts


def test_what_is_not_there_is_none(cloud_fixture: CloudFixture) -> None:
    clients = cloud_fixture.clients()
    assert clients.topics.get(TOPIC) is None
    assert clients.topics.delete(TOPIC) is False
    assert clients.schedules.get(JOB) is None
    assert clients.schedules.delete(JOB) is False
    assert clients.registry.digest(ABSENT, "latest") is None
    assert clients.builds.get("no-such-build", "us-central1") is None


def test_the_caller_is_the_account_of_the_token(cloud_fixture: CloudFixture) -> None:
    assert cloud_fixture.clients().project.caller() == f"notebook-deployer@{PROJECT}.iam.gserviceaccount.com"
