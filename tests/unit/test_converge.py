"""Convergence over doors of our own making: states that are rare at Google, and a crash before and after every write."""

# ruff: noqa: ARG002 - the Protocols say which arguments there are

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from builder.deploy.converge import converge, look, remove
from builder.deploy.ports import (
    BuildState,
    Doors,
    FunctionConfig,
    FunctionOperation,
    FunctionState,
    JobConfig,
    JobState,
    Policy,
    TopicState,
    UploadedSource,
)
from builder.deploy.resources import EVERY_PATH, Resources, differences
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup
from builder.ports import CallFailed, ServiceAccount
from tests.unit.test_deploy_resources import NAMES, job, wanted

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
    """What there is, who asked for what, and what is to go wrong. It is all doors at once."""

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
    states: list[str] = field(default_factory=list)  # told before the function's own
    slept: float = 0.0
    deaf: bool = False  # the function's subscription is of a topic that was deleted
    others: bool = False  # somebody else hears the topic

    @property
    def doors(self) -> Doors:
        return Doors(
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
        return "deployer@my-project.iam.gserviceaccount.com"

    def digest(self, package: str, tag: str) -> str | None:
        raise AssertionError

    def pushed(self, package: str, digest: str) -> str | None:
        raise AssertionError

    def get(self, build: str, region: str) -> BuildState | None:
        raise AssertionError

    def newest(self, tag: str, region: str) -> BuildState | None:
        raise AssertionError

    def now(self, region: str) -> str:
        raise AssertionError

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        raise AssertionError

    def service_account(self, email: str) -> ServiceAccount:
        raise AssertionError

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        raise AssertionError


@dataclass
class _Topics:
    cloud: Cloud

    def get(self, topic: str) -> TopicState | None:
        assert topic == NAMES.topic_path
        fed = self.cloud.function is not None and not self.cloud.deaf
        others = ("team-news",) if self.cloud.others else ()
        heard = ("eventarc-us-central1-nightly-1-sub-2", *others) if fed else others
        return replace(self.cloud.topic, subscriptions=heard) if self.cloud.topic else None

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

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        raise AssertionError


@dataclass
class _Functions:
    cloud: Cloud

    def get(self, path: str) -> FunctionState | None:
        assert path == NAMES.function_path
        function, states = self.cloud.function, self.cloud.states
        return replace(function, state=states.pop(0)) if function and states else function

    def upload(self, location: str, content: bytes) -> UploadedSource:
        return UploadedSource("bucket", f"{len(content)}", 1)

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
                self.cloud.deaf = False
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
    """Converge; what it says it changed, and what it said."""
    said: list[str] = []
    changes = converge(desired or wanted(), cloud.doors, said.append)
    return [str(change) for change in changes], said


def standing() -> Cloud:
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
        "invoker trigger@my-project.iam.gserviceaccount.com bound",
        "schedule nightly created",
    ]
    cloud.writes.clear()
    assert run(cloud)[0] == []
    assert cloud.writes == []
    assert differences(look(NAMES, cloud.doors), wanted()) == ()


def broken() -> list[Any]:
    """Clouds that an earlier deployment, a user, or Google left behind."""
    config = wanted().function.config
    return [
        pytest.param(Cloud, id="nothing"),
        pytest.param(standing, id="all"),
        pytest.param(lambda: _with(topic=None, deaf=True), id="topic deleted under the function"),
        pytest.param(lambda: _with(deaf=True), id="topic deleted and made anew under the function"),
        pytest.param(lambda: _with(function=None), id="function deleted"),
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
    cloud = standing()
    for name, value in changed.items():
        setattr(cloud, name, value)
    return cloud


def _function(**changed: Any) -> Cloud:
    cloud = standing()
    assert cloud.function is not None
    cloud.function = replace(cloud.function, **changed)
    return cloud


@pytest.mark.parametrize("made", broken())
def test_what_was_left_is_repaired(made: Callable[[], Cloud]) -> None:
    cloud = made()
    changes, _ = run(cloud)
    assert len(changes) == len(cloud.writes)
    assert differences(look(NAMES, cloud.doors), wanted()) == ()
    assert not cloud.deaf
    assert run(cloud)[0] == []


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
            assert differences(look(NAMES, cloud.doors), wanted()) == ()
            assert not cloud.deaf
        number += 1


def test_a_topic_of_somebody_else_is_used_and_stays() -> None:
    cloud = Cloud(topic=TopicState({"team": "data"}))
    assert "topic news created" not in run(cloud)[0]
    said: list[str] = []
    changes = remove(NAMES, cloud.doors, said.append)
    assert [str(change) for change in changes] == ["schedule nightly deleted", "function nightly deleted"]
    assert cloud.topic == TopicState({"team": "data"})
    assert any("topic news was not made by this deployment" in line for line in said)


def test_what_is_not_ours_is_refused_before_anything_is_written() -> None:
    config = wanted().function.config
    for cloud in (
        Cloud(function=FunctionState(NAMES.function_path, replace(config, labels={}), "ACTIVE", "")),
        Cloud(job=job(description="the report of the sales team")),
    ):
        with pytest.raises(
            ProjectSetup, match=r"projects/my-project/.*/nightly was not made by this deployment"
        ) as caught:
            run(cloud)
        assert "Done before: nothing." in caught.value.message
        assert cloud.writes == []
        assert remove(NAMES, cloud.doors, lambda _: None) == ()
        assert cloud.writes == []


def test_without_a_schedule_our_job_goes_and_another_stays() -> None:
    cloud = standing()
    assert run(cloud, wanted(cron=None))[0] == ["schedule nightly deleted"]
    foreign = job(description="the report of the sales team")
    cloud.job = foreign
    changes, said = run(cloud, wanted(cron=None))
    assert (changes, cloud.job) == ([], foreign)
    assert "schedule nightly was not made by this deployment, and stays" in said


def test_a_paused_schedule_stays_paused_and_that_is_said() -> None:
    cloud = _with(job=job(state="PAUSED"))
    changes, said = run(cloud, wanted(cron="1 1 * * *"))
    assert changes == ["schedule nightly updated"]
    assert cloud.job is not None
    assert cloud.job.state == "PAUSED"
    assert any(
        "paused and stays so; gcloud scheduler jobs resume nightly --location=europe-west1" in s for s in said
    )


def test_a_deployment_under_way_is_waited_for() -> None:
    cloud = standing()
    cloud.states = ["ACTIVE", *["DEPLOYING"] * 100]  # the first look decides nothing
    changes, said = run(cloud)
    assert changes == []
    assert cloud.slept >= 100 * 5
    assert said == ["function nightly is DEPLOYING: waiting for that to end"]


def test_a_deployment_without_end_is_given_up() -> None:
    cloud = standing()
    cloud.states = ["DEPLOYING"] * 10_000
    with pytest.raises(EnvironmentFailed, match=r"under way was not over after 1200 s.*Not done: function"):
        run(cloud)


def test_a_function_that_does_not_build_is_told_with_its_log() -> None:
    cloud = _function(config=replace(wanted().function.config, labels={**OURS, "nb-code": "old"}))
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


def test_a_fault_of_googles_is_tried_again_and_not_for_ever() -> None:
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
    changes, said = run(cloud)
    assert "function nightly created" in changes
    assert said.count("Google is still setting up Eventarc in this project: waiting 60 s") == 4
    cloud = Cloud(endings=[ending] * 11)
    with pytest.raises(ProjectSetup, match=r"could not be deployed: Validation failed") as caught:
        run(cloud)
    assert cloud.slept == 600
    assert "roles/eventarc.serviceAgent" in caught.value.advice


def test_an_existing_name_inside_the_operation_is_looked_at_again() -> None:
    cloud = standing()
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
    with pytest.raises(EnvironmentFailed, match="is being changed by others"):
        run(cloud)


@pytest.mark.parametrize("status", [409, 412])
def test_a_policy_that_others_write_is_read_again(status: int) -> None:
    cloud = _with(policy_=Policy(({"role": "roles/run.invoker", "members": ["user:a@b.c"]},), "7"))
    lost = iter([True, True])

    def before(_write: str) -> None:
        if next(lost, False):
            raise refused("run.services.setIamPolicy", status)

    cloud.before = before
    assert run(cloud)[0] == ["invoker trigger@my-project.iam.gserviceaccount.com bound"]
    assert cloud.policy_.bindings[0]["members"][0] == "user:a@b.c"


FAILURES = [
    pytest.param(
            refused("pubsub.topics.create", 503), EnvironmentFailed, "failed after retries: no",
            id="unavailable",
        ),
    pytest.param(
            refused("pubsub.topics.create", 403), ProjectSetup, r"deployer@my-project\S+ lacks pubsub.topics.create: no",
            id="no permission",
        ),
    pytest.param(refused("x.y.create", 403, "Permission 'iam.serviceAccounts.actAs' denied on service account f@p.iam.gserviceaccount.com"),
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
            "Grant deployer@my-project.iam.gserviceaccount.com roles/iam.serviceAccountUser on "
            "f@p.iam.gserviceaccount.com."
        )


def test_removing_takes_all_that_is_ours_and_then_nothing() -> None:
    cloud = standing()
    changes = remove(NAMES, cloud.doors, lambda _: None)
    assert [change.kind for change in changes] == ["schedule", "function", "topic"]
    assert remove(NAMES, cloud.doors, lambda _: None) == ()
    cloud = _with(others=True)
    said: list[str] = []
    changes = remove(NAMES, cloud.doors, said.append)
    assert [change.kind for change in changes] == ["schedule", "function"]
    assert "topic news is heard by others, and stays" in said
    cloud = standing()
    remove(NAMES, cloud.doors, lambda _: None, keep_topic=True)
    assert (cloud.topic, cloud.function, cloud.job) == (TopicState(NAMES.labels), None, None)


def test_the_mask_of_a_repair_names_everything() -> None:
    cloud = _function(state="FAILED")
    changes = converge(wanted(), cloud.doors, lambda _: None)
    assert changes[0].paths == EVERY_PATH
