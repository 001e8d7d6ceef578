"""Convergence over clients of our own making.

States that are rare at Google, and a crash before and after every write.
"""

# ruff: noqa: ARG002 - the Protocols say which arguments there are

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from builder.deploy.reconcile import look, reconcile
from builder.deploy.resources import Resources
from builder.deploy.steps import REMOVAL_STAGES, Step, steps
from builder.deploy_ports import (
    BuildState,
    Clients,
    FunctionConfig,
    FunctionOperation,
    FunctionState,
    JobConfig,
    JobState,
    Policy,
    TopicState,
    UploadedSource,
)
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup
from builder.ports import CallFailed
from tests.unit.test_deploy_resources import NAMES, job, spec, wanted

OURS = {"nb-tool": "notebook-builder"}


class Crash(BaseException):
    """The process is killed here."""


def refused(call: str, status: int, message: str = "no", *, repeated: bool = False) -> CallFailed:
    transient = status >= 500
    return CallFailed(
        call=call,
        resource="r",
        code=f"http{status}",
        message=message,
        http_status=status,
        transient=transient,
        repeated=repeated,
    )


@dataclass
class Cloud:
    """A cloud that is all clients at once: its resources, the calls that it got, and the faults to inject."""

    topic: TopicState | None = None
    function: FunctionState | None = None
    policy_: Policy = field(default_factory=lambda: Policy((), "1"))
    job: JobState | None = None
    writes: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _write: None
    after: Callable[[str], None] = lambda _write: None
    endings: list[FunctionOperation] = field(
        default_factory=list
    )  # of operations, in order; else they go well
    states: list[str] = field(default_factory=list)  # answered before the function's own
    slept: float = 0.0
    subscription_lost: bool = False  # the function's subscription is of a topic that was deleted
    others: bool = False  # the topic has a subscription of others

    @property
    def clients(self) -> Clients:
        return Clients(
            topics=_Topics(self),
            functions=_Functions(self),
            services=_Services(self),
            schedules=_Schedules(self),
            registry=self,
            builds=self,
            project=self,
            clock=self,
        )

    def write(self, name: str, effect: Callable[[], None]) -> None:
        self.before(name)
        effect()
        self.writes.append(name)
        self.after(name)

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def caller(self) -> str:
        return "notebook-deployer@my-project.iam.gserviceaccount.com"

    def digest(self, package: str, tag: str) -> str | None:
        raise AssertionError

    def pushed(self, package: str, digest: str) -> str | None:
        raise AssertionError

    def get(self, build: str, region: str) -> BuildState | None:
        raise AssertionError

    def newest(self, tags: Sequence[str], region: str) -> BuildState | None:
        raise AssertionError

    def count(self, tag: str, region: str, *, since: datetime, limit: int) -> int:
        raise AssertionError

    def now(self, region: str) -> str:
        raise AssertionError

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        raise AssertionError

    def service_account_disabled(self, email: str) -> bool:
        raise AssertionError

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        raise AssertionError


@dataclass
class _Topics:
    cloud: Cloud

    def get(self, topic: str) -> TopicState | None:
        assert topic == NAMES.topic_path
        subscribed = self.cloud.function is not None and not self.cloud.subscription_lost
        others = ("team-news",) if self.cloud.others else ()
        names = ("eventarc-us-central1-nightly-1-sub-2", *others) if subscribed else others
        return replace(self.cloud.topic, subscriptions=names) if self.cloud.topic else None

    def create(self, topic: str, labels: Mapping[str, str]) -> None:
        if self.cloud.topic:
            raise refused("pubsub.topics.create", 409)

        def effect() -> None:
            self.cloud.topic = TopicState(dict(labels))

        self.cloud.write("topic created", effect)

    def delete(self, topic: str) -> bool:
        def effect() -> None:
            self.cloud.topic = None

        self.cloud.write("topic deleted", effect)
        return True

    def publish(self, topic: str, data: bytes) -> None:
        raise AssertionError


@dataclass
class _Functions:
    cloud: Cloud

    def get(self, path: str) -> FunctionState | None:
        assert path == NAMES.function_path
        function, states = self.cloud.function, self.cloud.states
        return replace(function, state=states.pop(0)) if function and states else function

    def upload(self, location: str, content: bytes) -> UploadedSource:
        return content

    def create(self, path: str, config: FunctionConfig, source: UploadedSource) -> FunctionOperation:
        return self._put("function created", config)

    def update(
        self, path: str, config: FunctionConfig, source: UploadedSource | None, *, mask: Sequence[str]
    ) -> FunctionOperation:
        assert (source is not None) == ("build_config.source" in mask)
        return self._put("function updated", config)

    def _put(self, name: str, config: FunctionConfig) -> FunctionOperation:
        if name == "function created" and self.cloud.function:
            return FunctionOperation("op", done=True, code=6, message="exists")
        if self.cloud.endings:
            ending = self.cloud.endings.pop(0)
            if ending.code == 3:
                old = self.cloud.function or FunctionState(NAMES.function_path, config, "FAILED", "")
                self.cloud.function = replace(old, problems=("no such module",))
            return ending

        def effect() -> None:
            if name == "function created":
                self.cloud.subscription_lost = False
            self.cloud.function = FunctionState(NAMES.function_path, config, "ACTIVE", NAMES.service_path)

        self.cloud.write(name, effect)
        return FunctionOperation("op", done=False)

    def delete(self, path: str) -> FunctionOperation | None:
        def effect() -> None:
            self.cloud.function, self.cloud.policy_ = None, Policy((), "1")

        self.cloud.write("function deleted", effect)
        return FunctionOperation("op", done=False)

    def operation(self, name: str) -> FunctionOperation:
        return FunctionOperation(name, done=True)


@dataclass
class _Services:
    cloud: Cloud

    def policy(self, service: str) -> Policy | None:
        assert service == NAMES.service_path
        return self.cloud.policy_ if self.cloud.function else None

    def set_policy(self, service: str, policy: Policy) -> None:
        if policy.etag != self.cloud.policy_.etag:
            raise refused("run.services.setIamPolicy", 409)

        def effect() -> None:
            self.cloud.policy_ = Policy(policy.bindings, policy.etag + "1")

        self.cloud.write("invoker bound", effect)


@dataclass
class _Schedules:
    cloud: Cloud

    def get(self, path: str) -> JobState | None:
        assert path == NAMES.job_path
        return self.cloud.job

    def create(self, path: str, config: JobConfig) -> None:
        self._put("schedule created", path, config, "ENABLED")

    def update(self, path: str, config: JobConfig, *, mask: Sequence[str]) -> None:
        state = self.cloud.job.state if self.cloud.job else ""
        if self.cloud.job and self.cloud.job.target != "pubsub":
            raise refused("cloudscheduler.jobs.update", 400)
        self._put("schedule updated", path, config, "PAUSED" if state == "PAUSED" else "ENABLED")

    def _put(self, name: str, path: str, config: JobConfig, state: str) -> None:
        def effect() -> None:
            self.cloud.job = JobState(path, config, "pubsub", state)

        self.cloud.write(name, effect)

    def delete(self, path: str) -> bool:
        def effect() -> None:
            self.cloud.job = None

        self.cloud.write("schedule deleted", effect)
        return True


def run(cloud: Cloud, desired: Resources | None = None) -> tuple[list[str], list[str]]:
    """Reconcile; the changes, and the lines of the log."""
    logged: list[str] = []
    changes = reconcile(desired or wanted(), cloud.clients, logged.append)
    return [step.done for step in changes], logged


def remove(cloud: Cloud, log: Callable[[str], None] = lambda _line: None) -> tuple[Step, ...]:
    """Remove the deployment; the steps that changed something."""
    return reconcile(Resources(NAMES), cloud.clients, log, REMOVAL_STAGES)


def converged() -> Cloud:
    cloud = Cloud()
    run(cloud)
    cloud.writes.clear()
    return cloud


EVERYTHING = ["topic created", "function created", "invoker bound", "schedule created"]


def test_everything_is_made_in_order_and_then_nothing() -> None:
    cloud = Cloud()
    changes, _ = run(cloud)
    assert cloud.writes == EVERYTHING
    assert changes == [
        "topic news created",
        "function nightly created",
        "invoker notebook-trigger@my-project.iam.gserviceaccount.com bound",
        "schedule nightly created",
    ]
    cloud.writes.clear()
    assert run(cloud)[0] == []
    assert cloud.writes == []
    assert steps(look(NAMES, cloud.clients), wanted()) == ()


def broken() -> list[Any]:
    """Clouds that an earlier deployment, a user, or Google left behind."""
    config = spec().config
    return [
        pytest.param(Cloud, id="nothing"),
        pytest.param(converged, id="all"),
        pytest.param(lambda: _with(topic=None, subscription_lost=True), id="topic deleted"),
        pytest.param(lambda: _with(subscription_lost=True), id="topic deleted and created again"),
        pytest.param(lambda: _with(function=None, policy_=Policy((), "1")), id="function deleted"),
        pytest.param(lambda: _with(policy_=Policy((), "7")), id="binding removed"),
        pytest.param(lambda: _with(job=None), id="schedule deleted"),
        pytest.param(lambda: _with(job=job(target="http", topic="")), id="other target"),
        pytest.param(lambda: _with(job=job(state="UPDATE_FAILED")), id="update failed"),
        *(pytest.param(lambda s=state: _function(state=s), id=state) for state in ("FAILED", "UNKNOWN")),
        pytest.param(lambda: _function(problems=("boom",)), id="problems"),
        pytest.param(
            lambda: _function(config=replace(config, topic="projects/my-project/topics/old")),
            id="another topic",
        ),
        pytest.param(
            lambda: _function(config=replace(config, labels={**OURS, "nb-code": "old"})), id="other code"
        ),
    ]


def _with(**changed: Any) -> Cloud:
    cloud = converged()
    for name, value in changed.items():
        setattr(cloud, name, value)
    return cloud


def _function(**changed: Any) -> Cloud:
    cloud = converged()
    assert cloud.function is not None
    cloud.function = replace(cloud.function, **changed)
    return cloud


@pytest.mark.parametrize("made", broken())
def test_the_predicted_steps_are_the_steps_of_the_deployment(made: Callable[[], Cloud]) -> None:
    cloud = made()
    predicted = [step.done for step in steps(look(NAMES, cloud.clients), wanted())]
    assert run(cloud)[0] == predicted


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("made", broken())
def test_killed_at_any_write_and_run_again_it_ends_in_the_same_state(
    made: Callable[[], Cloud], when: str
) -> None:
    number = 0
    while True:
        cloud, seen = made(), 0

        def kill(_write: str, number: int = number) -> None:
            nonlocal seen
            if seen == number:
                raise Crash
            seen += 1

        setattr(cloud, when, kill)
        try:
            run(cloud)
        except Crash:
            setattr(cloud, when, lambda _write: None)
            run(cloud)
        else:
            return  # no write of this number any more
        finally:
            assert steps(look(NAMES, cloud.clients), wanted()) == ()
            assert not cloud.subscription_lost
        number += 1


def test_a_deployment_under_way_is_awaited() -> None:
    cloud = converged()
    cloud.states = ["DEPLOYING"] * 101
    changes, logged = run(cloud)
    assert changes == []
    assert cloud.slept >= 100 * 5
    assert logged == ["function nightly is DEPLOYING: waiting for that to end"]


def test_an_update_that_google_writes_in_another_way_is_not_repeated() -> None:
    cloud = _function(config=replace(spec().config, timeout=60))

    def rewritten(_write: str) -> None:
        assert cloud.function is not None
        cloud.function = replace(cloud.function, config=replace(spec().config, timeout=60))

    cloud.after = rewritten
    assert run(cloud)[0] == ["function nightly updated"]


def test_a_function_that_others_delete_each_time_is_given_up() -> None:
    cloud = Cloud()

    def deleted(write: str) -> None:
        if write == "function created":
            cloud.function = None

    cloud.after = deleted
    with pytest.raises(
        EnvironmentFailed, match="Another deployment changed the function of deployment nightly"
    ):
        run(cloud)
    assert cloud.writes.count("function created") == 5


def test_a_deployment_without_end_is_given_up() -> None:
    cloud = converged()
    cloud.states = ["DEPLOYING"] * 10_000
    with pytest.raises(EnvironmentFailed, match=r"under way did not end within 1200 s.*Not done: function"):
        run(cloud)


def test_a_function_that_does_not_build_is_reported_with_its_log() -> None:
    cloud = _function(config=replace(spec().config, labels={**OURS, "nb-code": "old"}))
    ending = FunctionOperation("op", done=True, code=3, message="Build failed", log_url="https://log")
    cloud.endings = [ending]
    with pytest.raises(ProjectSetup) as caught:
        run(cloud, wanted(cron="1 1 * * *"))
    assert caught.value.message == (
        "The function nightly could not be deployed: Build failed; no such module. Its build's log is https://log. "
        "The version before is still live. Done before: nothing. Not done: function, invoker binding, schedule."
    )
    changes, _ = run(cloud, wanted(cron="1 1 * * *"))
    assert changes == ["function nightly updated", "schedule nightly updated"]


def test_a_fault_of_google_is_retried_a_limited_number_of_times() -> None:
    ending = FunctionOperation("op", done=True, code=13, message="Internal error")
    cloud = Cloud(endings=[ending, ending])
    assert "function nightly created" in run(cloud)[0]
    cloud = Cloud(endings=[ending] * 5)
    with pytest.raises(
        EnvironmentFailed, match=r"in 5 tries: Internal error\. Done before: topic news created\."
    ):
        run(cloud)


def test_a_project_that_is_new_to_eventarc_is_waited_for() -> None:
    message = (
        "Validation failed for trigger t: Permission denied while using the Eventarc Service Agent. If you recently started "
        "to use Eventarc, it may take a few minutes before all necessary permissions are propagated to the Service Agent."
    )
    ending = FunctionOperation("op", done=True, code=7, message=message)
    cloud = Cloud(endings=[ending] * 4)
    changes, logged = run(cloud)
    assert "function nightly created" in changes
    assert (
        logged.count("Google is still setting up Cloud Functions and Eventarc in this project: waiting 60 s")
        == 4
    )
    cloud = Cloud(endings=[ending] * 11)
    with pytest.raises(ProjectSetup, match=r"could not be deployed: Validation failed") as caught:
        run(cloud)
    assert cloud.slept == 600
    assert "roles/eventarc.serviceAgent" in caught.value.advice


def test_an_existing_name_inside_the_operation_is_looked_at_again() -> None:
    cloud = converged()
    cloud.function, function = None, cloud.function
    ending = FunctionOperation("op", done=True, code=6, message="exists")

    class Late(list[FunctionOperation]):
        """The first create's reply is lost: its function is there when the second one is answered."""

        def pop(self, index: Any = 0) -> FunctionOperation:
            cloud.function = function
            return super().pop(index)

    cloud.endings = Late([ending])
    assert run(cloud)[0] == ["function nightly created"]


def test_two_deployments_at_once_take_turns() -> None:
    cloud = _function(state="FAILED")
    busy = iter([True, True])

    def before(_write: str) -> None:
        if next(busy, False):
            raise refused("cloudfunctions.functions.update", 409, "unable to queue the operation")

    cloud.before = before
    assert run(cloud)[0] == ["function nightly updated"]
    cloud = _function(state="FAILED")
    busy = iter([True] * 100)
    cloud.before = before
    with pytest.raises(
        EnvironmentFailed,
        match="Another deployment changed the function of deployment nightly during each of our attempts",
    ):
        run(cloud)


@pytest.mark.parametrize("status", [409, 412])
def test_a_policy_that_others_write_is_read_again(status: int) -> None:
    cloud = _with(policy_=Policy(({"role": "roles/run.invoker", "members": ["user:a@b.c"]},), "7"))
    lost = iter([True, True])

    def before(_write: str) -> None:
        if next(lost, False):
            raise refused("run.services.setIamPolicy", status)

    cloud.before = before
    assert run(cloud)[0] == ["invoker notebook-trigger@my-project.iam.gserviceaccount.com bound"]
    assert cloud.policy_.bindings[0]["members"][0] == "user:a@b.c"


FAILURES = [
    pytest.param(
            refused("pubsub.topics.create", 503), EnvironmentFailed, "failed after retries: no",
            id="unavailable",
        ),
    pytest.param(
            refused("pubsub.topics.create", 403), ProjectSetup, r"notebook-deployer@my-project\S+ lacks pubsub.topics.create: no",
            id="no permission",
        ),
    pytest.param(refused("x.y.create", 403, "Permission 'iam.serviceAccounts.actAs' denied on service account f@my-project.iam.gserviceaccount.com"),
        ProjectSetup,
        "lacks iam.serviceAccounts.actAs", id="no permission to act as"),
    pytest.param(
            refused("x.y.create", 400, "Schedule or time zone is invalid."), ProjectSetup, "time zone is invalid",
            id="bad schedule",
        ),
    pytest.param(CallFailed(call="run.services.get", resource="r", code="SERVICE_DISABLED", message="m", http_status=403),
        ProjectSetup,
        "the API run.googleapis.com is not enabled", id="API not enabled"),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "kind", "words"), FAILURES)
@pytest.mark.parametrize("number", range(4))
def test_a_failure_names_what_was_done_and_what_was_not(
    failure: CallFailed, kind: type[BuilderError], words: str, number: int
) -> None:
    cloud = Cloud()
    left = list(EVERYTHING)

    def before(write: str) -> None:
        if write == EVERYTHING[number]:
            raise failure

    cloud.before = before
    with pytest.raises(kind, match=words) as caught:
        run(cloud)
    steps = ["topic", "function", "invoker binding", "schedule"]
    assert caught.value.message.endswith(f"Not done: {', '.join(steps[number:])}.")
    assert ("Done before: nothing." in caught.value.message) is (number == 0)
    assert cloud.writes == left[:number]
    if "actAs" in words:
        assert caught.value.advice == (
            "Grant notebook-deployer@my-project.iam.gserviceaccount.com roles/iam.serviceAccountUser on "
            "f@my-project.iam.gserviceaccount.com."
        )


def test_removing_takes_all_that_is_ours_and_then_nothing() -> None:
    cloud = converged()
    changes = remove(cloud)
    assert [change.kind for change in changes] == ["schedule", "function", "topic"]
    assert remove(cloud) == ()
    cloud = _with(others=True)
    logged: list[str] = []
    changes = remove(cloud, logged.append)
    assert [change.kind for change in changes] == ["schedule", "function"]
    assert "topic news has other subscriptions and stays" in logged
    cloud = converged()
    reconcile(Resources(NAMES), cloud.clients, lambda _: None, ("schedule", "function"))
    assert (cloud.topic, cloud.function, cloud.job) == (TopicState(NAMES.labels), None, None)
