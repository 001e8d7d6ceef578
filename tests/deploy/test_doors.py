"""Each call that deploying makes, under each passing fault, without end, and with a server that hangs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from builder.act.waiting import Cancellation
from builder.deploy.converge import converge
from builder.deploy.ports import JobConfig
from builder.deploy.resources import Status, function_differences, is_deaf, with_member
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT
from builder.options.day import moment
from builder.ports import CallFailed
from localcloud.iam import PROJECT
from tests.deploy.place import NAMES, PatientClock, Place

_SCALE = 300.0
_TIMEOUT = CALL_TIMEOUT / _SCALE
FUNCTIONS = "cloudfunctions.projects.locations.functions"
TOPIC = NAMES.topic_path
JOB = NAMES.job_path
PACKAGE = f"projects/{PROJECT}/locations/us/repositories/tools/packages/ci/notebook-builder"
ABSENT = PACKAGE.replace("notebook-builder", "other")


@dataclass(frozen=True)
class CallUnderTest:
    """One call: its method id, how it is made, what must be so afterwards, and what must be there before."""

    method: str
    make: Callable[[Place], Any]
    check: Callable[[Place, Any], object]
    before: Callable[[Place], object] = lambda _place: None
    conflicts: bool = False  # tried again after a lost reply, it may meet its own work as a 409


def config(place: Place, **changed: Any) -> JobConfig:
    job = place.desired(**changed).job
    assert job is not None
    return job


def make_topic(place: Place) -> None:
    place.doors().topics.create(TOPIC, {"nb-tool": "notebook-builder"})


def make_job(place: Place) -> None:
    make_topic(place)
    place.doors().schedules.create(JOB, config(place))


def create_function(place: Place) -> Any:
    doors, wanted = place.doors(), place.desired().function
    source = doors.functions.upload(NAMES.location, wanted.zip)
    operation = doors.functions.create(NAMES.function_path, wanted.config, source)
    place.operation = operation.name
    return operation


def start_function(place: Place) -> None:
    make_topic(place)
    create_function(place)


def make_function(place: Place) -> None:
    place.time = PatientClock(place.cloud.clock, Cancellation())
    converge(place.desired(cron=None), place.doors(), place.said.append)


def function_of(place: Place) -> Any:
    return place.doors().functions.get(NAMES.function_path)


def grant(place: Place) -> None:
    services = place.doors().services
    found = services.policy(NAMES.service_path)
    assert found is not None
    services.set_policy(NAMES.service_path, with_member(found, "user:me@example.com"))


def job_of(place: Place) -> Any:
    return place.doors().schedules.get(JOB)


CALLS = [
    CallUnderTest(
        "pubsub.projects.topics.get",
        lambda p: p.doors().topics.get(TOPIC),
        lambda _p, topic: topic.labels == {"nb-tool": "notebook-builder"},
        make_topic,
    ),
    CallUnderTest(
        "pubsub.projects.topics.subscriptions.list",
        lambda p: p.doors().topics.get(TOPIC),
        lambda p, topic: not is_deaf(Status(topic, function_of(p), None, None), NAMES),
        make_function,
    ),
    CallUnderTest(
        "run.projects.locations.services.setIamPolicy",
        grant,
        lambda p, _: "user:me@example.com" in str(p.doors().services.policy(NAMES.service_path)),
        make_function,
        conflicts=True,
    ),
    CallUnderTest(
        "pubsub.projects.topics.create",
        make_topic,
        lambda p, _: p.doors().topics.get(TOPIC).labels == {"nb-tool": "notebook-builder"},  # type: ignore[union-attr]
        conflicts=True,
    ),
    CallUnderTest(
        "pubsub.projects.topics.delete",
        lambda p: p.doors().topics.delete(TOPIC),
        lambda p, deleted: deleted and p.doors().topics.get(TOPIC) is None,
        make_topic,
    ),
    CallUnderTest(
        "pubsub.projects.topics.publish",
        lambda p: p.doors("builder").topics.publish(TOPIC, b"{}", {"a": "b"}),
        lambda _p, id_: id_.isdigit(),
        make_topic,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.get",
        lambda p: p.doors().schedules.get(JOB),
        lambda p, job: (job.config, job.target, job.state) == (config(p), "pubsub", "ENABLED"),
        make_job,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.create",
        lambda p: p.doors().schedules.create(JOB, config(p)),
        lambda p, _: job_of(p).config == config(p),
        make_topic,
        conflicts=True,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.patch",
        lambda p: p.doors().schedules.update(JOB, config(p, cron="5 5 * * *"), mask=["schedule"]),
        lambda p, _: job_of(p).config == config(p, cron="5 5 * * *"),
        make_job,
    ),
    CallUnderTest(
        "cloudscheduler.projects.locations.jobs.delete",
        lambda p: p.doors().schedules.delete(JOB),
        lambda p, deleted: deleted and job_of(p) is None,
        make_job,
    ),
    CallUnderTest(
        "artifactregistry.projects.locations.repositories.packages.tags.get",
        lambda p: p.doors().registry.digest(PACKAGE, "latest"),
        lambda _p, digest: re.fullmatch(r"sha256:[0-9a-f]{64}", digest),
    ),
    CallUnderTest(
        "artifactregistry.projects.locations.repositories.packages.versions.get",
        lambda p: p.doors().registry.pushed(PACKAGE, p.doors().registry.digest(PACKAGE, "latest") or ""),
        lambda p, pushed: moment(pushed).timestamp() <= p.cloud.clock.now(),
    ),
    CallUnderTest(
        "cloudbuild.projects.locations.builds.get",
        lambda p: p.doors().builds.get("0-none", "us-central1"),
        lambda _p, build: build is None,
    ),
    CallUnderTest(
        "cloudbuild.projects.locations.builds.list",
        lambda p: p.doors().builds.now("us-central1"),
        lambda p, now: abs(moment(now).timestamp() - p.cloud.clock.now()) < 5,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.get",
        lambda p: p.doors().functions.get(NAMES.function_path),
        lambda p, function: (
            function.state == "ACTIVE" and function_differences(function, p.desired().function) == ()
        ),
        make_function,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.generateUploadUrl",
        lambda p: p.doors().functions.upload(NAMES.location, b"zip"),
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
        lambda p: p.doors().functions.update(
            NAMES.function_path, p.desired().function.config, None, mask=["labels"]
        ),
        lambda _p, operation: operation is None or operation.name.startswith(f"{NAMES.location}/operations/"),
        make_function,
        conflicts=True,
    ),
    CallUnderTest(
        f"{FUNCTIONS}.delete",
        lambda p: p.doors().functions.delete(NAMES.function_path),
        lambda _p, operation: operation is None,
    ),
    CallUnderTest(
        "cloudfunctions.projects.locations.operations.get",
        lambda p: p.doors().functions.operation(p.operation),
        lambda p, operation: (operation.name, operation.code) == (p.operation, 0),
        start_function,
    ),
    CallUnderTest(
        "run.projects.locations.services.getIamPolicy",
        lambda p: p.doors().services.policy(NAMES.service_path),
        lambda _p, policy: policy is None,
    ),
]
FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"action": "error", "status": status} for status in (408, 429, 500, 502, 503, 504)},
    "reset": {"action": "drop_before"},
    "reply lost": {"action": "drop_after"},
    "error after": {"action": "error_after", "status": 503},
}
_AFTER = {"reply lost", "error after"}
_NOW = "cloudbuild.projects.locations.builds.list"


@pytest.fixture(autouse=True)
def _no_patience(place: Place) -> None:
    """Nothing here waits for a process."""
    place.time = place.moved(1.0)


def label(call: CallUnderTest) -> str:
    return ".".join(call.method.split(".")[-2:])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS, ids=label)
def test_up_to_three_passing_faults_are_not_noticed(place: Place, call: CallUnderTest, fault: str) -> None:
    call.before(place)
    times = (
        1 if call.method == _NOW and "status" in FAULTS[fault] else 3
    )  # the Date is read from an error, too
    place.fault(call.method, times=times, **FAULTS[fault])
    answer, met = None, None
    try:
        answer = call.make(place)
    except CallFailed as failure:
        met = (failure.http_status, failure.repeated)
    assert met is None or (met == (409, True) and call.conflicts and fault in _AFTER)
    assert call.check(place, answer)


_REFUSABLE = [call for call in CALLS if call.method != _NOW]


@pytest.mark.parametrize("call", _REFUSABLE, ids=label)
def test_a_fault_without_end_ends_with_the_budget(place: Place, call: CallUnderTest) -> None:
    call.before(place)
    place.fault(call.method, "error", times=10_000, status=503)
    started = place.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        call.make(place)
    assert caught.value.transient
    assert CALL_BUDGET - 25 < place.time.monotonic() - started < CALL_BUDGET + 10


@pytest.mark.parametrize("call", _REFUSABLE, ids=label)
def test_a_lasting_refusal_is_not_repeated(place: Place, call: CallUnderTest) -> None:
    call.before(place)
    place.fault(call.method, "error", times=2, status=403, reason="forbidden", message="no")
    with pytest.raises(CallFailed, match="no") as caught:
        call.make(place)
    assert (caught.value.http_status, caught.value.transient) == (403, False)
    assert place.consumed() == [1]


@pytest.mark.parametrize("call", CALLS, ids=label)
def test_a_server_that_hangs_holds_no_call_beyond_its_budget(place: Place, call: CallUnderTest) -> None:
    """Time runs three hundred times faster here, so that 30 s are 0.1 s."""
    call.before(place)
    place.fault(call.method, "stall", times=10_000, seconds=60)
    place.time = place.moved(_SCALE)
    place.timeout = _TIMEOUT
    started = time.monotonic()
    with pytest.raises(CallFailed):
        call.make(place)
    assert time.monotonic() - started < CALL_BUDGET / _SCALE + _TIMEOUT + 1.0


def test_what_is_not_there_is_none(place: Place) -> None:
    doors = place.doors()
    assert doors.topics.get(TOPIC) is None
    assert doors.topics.delete(TOPIC) is False
    assert doors.schedules.get(JOB) is None
    assert doors.schedules.delete(JOB) is False
    assert doors.registry.digest(ABSENT, "latest") is None
    assert doors.builds.get("no-such-build", "us-central1") is None


def test_who_the_caller_is(place: Place) -> None:
    assert place.doors().project.caller() == f"deployer@{PROJECT}.iam.gserviceaccount.com"
