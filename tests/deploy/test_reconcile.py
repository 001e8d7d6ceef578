"""Reconciliation against localcloud: real functions are built and served, calls fail, and the end state is the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import functions_v2, scheduler_v1
from google.oauth2.credentials import Credentials
from google.protobuf.field_mask_pb2 import FieldMask

from builder.deploy.reconcile import look, reconcile
from builder.deploy.resources import Resources
from builder.deploy.steps import REMOVAL_STAGES, Step, steps
from builder.errors import EnvironmentFailed, ProjectSetup
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.profile import GRANTS
from tests.deploy.cloud_fixture import NAMES, CloudFixture, serve_cloud, source
from tests.granting import granting
from tests.patience import PATIENCE

FUNCTIONS = "cloudfunctions.projects.locations.functions"
JOBS = "cloudscheduler.projects.locations.jobs"
TOPICS = "pubsub.projects.topics"
POLICY = "run.projects.locations.services.setIamPolicy"
READS = ("get", "list", "getIamPolicy", "testIamPermissions")
BROKEN = "def submit(event:\n"


def run(
    cloud_fixture: CloudFixture, desired: Resources | None = None, account: str = "notebook-deployer"
) -> list[str]:
    """Reconcile, and return the steps that changed something."""
    changes = reconcile(
        desired or cloud_fixture.desired(), cloud_fixture.clients(account), cloud_fixture.logged.append
    )
    return [step.done for step in changes]


def remove(cloud_fixture: CloudFixture) -> tuple[Step, ...]:
    """Remove the deployment; the steps that changed something."""
    return reconcile(Resources(NAMES), cloud_fixture.clients(), cloud_fixture.logged.append, REMOVAL_STAGES)


def writes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The number of calls in between that are no reads, by method."""
    return {
        method: after[method] - before.get(method, 0)
        for method in after
        if after[method] != before.get(method, 0) and method.rpartition(".")[2] not in READS
    }


def assert_stands(cloud_fixture: CloudFixture, desired: Resources | None = None) -> None:
    """Assert that one resource of each kind exists as desired, and that another deployment makes no writing call."""
    wanted = desired or cloud_fixture.desired()
    assert steps(look(wanted.names, cloud_fixture.clients()), wanted) == ()
    inventory = cloud_fixture.cloud.inventory()
    assert [item["name"] for item in inventory["functions"]] == ["nightly"]
    assert [item["name"] for item in inventory["pubsub.topics"]] == ["news"]
    assert [item["name"] for item in inventory["scheduler.jobs"]] == (["nightly"] if wanted.job else [])
    before = cloud_fixture.calls()
    assert run(cloud_fixture, wanted) == []
    assert writes(before, cloud_fixture.calls()) == {}


def owner(cloud_fixture: CloudFixture, kind: Any) -> Any:
    """Google's own client, with the rights of the project's owner."""
    options = {"api_endpoint": cloud_fixture.cloud.url}
    return kind(
        credentials=Credentials(token=cloud_fixture.cloud.iam.owner_token),
        transport="rest",
        client_options=options,
    )


EVERYTHING = [
    "topic news created",
    "function nightly created",
    f"invoker {email('notebook-trigger')} bound",
    "schedule nightly created",
]


def test_everything_is_made_and_then_only_looked_at(cloud_fixture: CloudFixture) -> None:
    assert run(cloud_fixture) == EVERYTHING
    assert_stands(cloud_fixture)
    status = look(NAMES, cloud_fixture.clients())
    assert status.function is not None
    assert status.function.state == "ACTIVE"
    assert status.function.service == NAMES.service_path


def heard(cloud_fixture: CloudFixture, times: int) -> str:
    """The function's log, after it has received so many messages."""
    log = cloud_fixture.cloud.state / "functions" / "nightly" / "log.txt"
    deadline = time.monotonic() + PATIENCE
    while log.read_text().count("heard ") < times:
        assert time.monotonic() < deadline, log.read_text()
        cloud_fixture.cloud.clock.advance(1)  # for deliveries that are repeated
        time.sleep(0.05)
    return log.read_text()


def fire(cloud_fixture: CloudFixture) -> None:
    owner(cloud_fixture, scheduler_v1.CloudSchedulerClient).run_job(name=NAMES.job_path)


def test_the_function_receives_scheduled_messages_also_after_repairs(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    fire(cloud_fixture)
    heard(cloud_fixture, 1)
    cloud_fixture.clients().topics.delete(NAMES.topic_path)
    run(cloud_fixture)
    fire(cloud_fixture)
    heard(cloud_fixture, 2)
    run(cloud_fixture, cloud_fixture.desired(source(version=2)))
    fire(cloud_fixture)
    assert heard(cloud_fixture, 3).splitlines()[-1].endswith(" 2")


FIRST_USE = (
    "Validation failed for trigger projects/local-project/locations/us-central1/triggers/nightly-0: Invalid resource state for "
    '"": Permission denied while using the Eventarc Service Agent. If you recently started to use Eventarc, it may take a few '
    "minutes before all necessary permissions are propagated to the Service Agent. Otherwise, verify that it has Eventarc "
    "Service Agent role."
)
FUNCTIONS_IS_NEW = (
    "Unable to retrieve the repository metadata for projects/local-project/locations/us-central1/repositories/gcf-artifacts. "
    "Ensure that the Cloud Functions service account has 'artifactregistry.repositories.list' and "
    "'artifactregistry.repositories.get' permissions."
)
WAITS = "Google is still setting up Cloud Functions and Eventarc in this project: waiting 60 s"


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (400, "failedPrecondition", FIRST_USE),
        (403, "forbidden", FIRST_USE),
        (403, "forbidden", FUNCTIONS_IS_NEW),
    ],
    ids=["eventarc, 400", "eventarc, 403", "cloud functions"],
)
def test_a_project_that_is_new_to_these_services_is_waited_for_when_the_call_is_refused(
    cloud_fixture: CloudFixture, status: int, reason: str, message: str
) -> None:
    cloud_fixture.fault(
        f"{FUNCTIONS}.create", "error", times=9, status=status, reason=reason, message=message
    )
    assert run(cloud_fixture) == EVERYTHING
    assert cloud_fixture.logged.count(WAITS) == 9
    assert cloud_fixture.consumed() == [9]
    assert_stands(cloud_fixture)


@pytest.mark.parametrize(
    ("status", "message", "account"),
    [
        (400, FIRST_USE, "gcp-sa-eventarc.iam.gserviceaccount.com, roles/eventarc.serviceAgent"),
        (403, FUNCTIONS_IS_NEW, "gcf-admin-robot.iam.gserviceaccount.com, roles/cloudfunctions.serviceAgent"),
    ],
    ids=["eventarc", "cloud functions"],
)
def test_an_agent_without_its_role_ends_after_ten_minutes_with_its_name(
    cloud_fixture: CloudFixture, status: int, message: str, account: str
) -> None:
    cloud_fixture.fault(f"{FUNCTIONS}.create", "error", times=11, status=status, message=message)
    with pytest.raises(ProjectSetup, match=message[:40]) as caught:
        run(cloud_fixture)
    assert cloud_fixture.logged.count(WAITS) == 10
    assert cloud_fixture.consumed() == [11]
    assert account in caught.value.advice
    assert "notebook-deployer" not in caught.value.advice


NO_ACCESS = (
    "Build failed with status: FAILURE and message: failed to Fetch: failed to download archive gs://gcf-v2-sources-1/f.zip: "
    "Access to bucket gcf-v2-sources-1 denied."
)


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT"])
def test_the_build_of_a_first_deployment_is_tried_once_more(cloud_fixture: CloudFixture, code: str) -> None:
    cloud_fixture.fault(f"{FUNCTIONS}.create", "operation_error", code=code, message=NO_ACCESS)
    assert run(cloud_fixture) == [EVERYTHING[0], "function nightly updated", *EVERYTHING[2:]]
    assert cloud_fixture.consumed() == [1]
    assert_stands(cloud_fixture)


def test_a_build_that_fails_again_is_the_project_s_set_up(cloud_fixture: CloudFixture) -> None:
    """Its operation ends with INTERNAL too, and no repetition helps."""
    for method in ("create", "patch"):
        cloud_fixture.fault(f"{FUNCTIONS}.{method}", "operation_error", code="INTERNAL", message=NO_ACCESS)
    with pytest.raises(ProjectSetup, match="Access to bucket gcf-v2-sources-1 denied") as caught:
        run(cloud_fixture)
    assert cloud_fixture.consumed() == [1, 1]
    assert "NB_FUNCTION_BUILD_SERVICE_ACCOUNT" in caught.value.advice


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "words",
    [
        "Validation failed for trigger projects/p/locations/l/triggers/t: the event provider is not ready",
        "Cannot create trigger projects/p/locations/l/triggers/t: Permission denied on 'projects/p'",
    ],
    ids=["validation", "creation"],
)
def test_a_refused_trigger_is_reported_in_googles_words_without_blaming_the_caller(
    cloud_fixture: CloudFixture, words: str, status: int
) -> None:
    cloud_fixture.fault(f"{FUNCTIONS}.create", "error", status=status, message=words)
    with pytest.raises(ProjectSetup) as caught:
        run(cloud_fixture)
    assert words in caught.value.message
    assert "lacks" not in caught.value.message
    assert "NB_TRIGGER_SERVICE_ACCOUNT" in caught.value.advice


# `make test` has the first ones of each table: those of the function, and then of the schedule.
CREATING = [
    f"{FUNCTIONS}.create",
    f"{JOBS}.create",
    f"{TOPICS}.create",
    f"{FUNCTIONS}.generateUploadUrl",
    POLICY,
]
READING = [f"{FUNCTIONS}.get", f"{TOPICS}.get", f"{JOBS}.get"]
UPDATING = [f"{FUNCTIONS}.patch", f"{JOBS}.patch"]
DELETING = [f"{FUNCTIONS}.delete", f"{TOPICS}.delete", f"{JOBS}.delete"]
USED = [CREATING[0], READING[0], *CREATING[1:], *READING[1:]]


@pytest.mark.always(2)
@pytest.mark.parametrize("method", CREATING, ids=CREATING)
def test_a_lost_reply_to_a_creation_is_detected(cloud_fixture: CloudFixture, method: str) -> None:
    cloud_fixture.fault(method, "drop_after")
    assert run(cloud_fixture) == EVERYTHING
    assert cloud_fixture.consumed() == [1]
    assert_stands(cloud_fixture)


@pytest.mark.always(1)
@pytest.mark.parametrize("method", UPDATING, ids=UPDATING)
def test_a_lost_reply_to_an_update_is_detected(cloud_fixture: CloudFixture, method: str) -> None:
    run(cloud_fixture)
    cloud_fixture.fault(method, "drop_after")
    desired = cloud_fixture.desired(source(version=2), cron="30 5 * * *")
    assert run(cloud_fixture, desired) == ["function nightly updated", "schedule nightly updated"]
    assert cloud_fixture.consumed() == [1]
    assert_stands(cloud_fixture, desired)


@pytest.mark.always(1)
@pytest.mark.parametrize("method", DELETING, ids=DELETING)
def test_a_lost_reply_to_a_deletion_is_detected(cloud_fixture: CloudFixture, method: str) -> None:
    run(cloud_fixture)
    cloud_fixture.fault(method, "drop_after")
    changes = remove(cloud_fixture)
    assert [step.done for step in changes] == [
        "schedule nightly deleted",
        "function nightly deleted",
        "topic news deleted",
    ]
    assert cloud_fixture.consumed() == [1]
    inventory = cloud_fixture.cloud.inventory()
    assert [inventory[kind] for kind in ("functions", "pubsub.topics", "scheduler.jobs")] == [[], [], []]
    assert remove(cloud_fixture) == ()


@pytest.mark.always(2)
@pytest.mark.parametrize(
    # Where a call has no effect, what stands is what the call before it left.
    "action",
    [pytest.param("error", marks=pytest.mark.exhaustive), "error_after"],
)
@pytest.mark.parametrize("method", CREATING, ids=CREATING)
def test_an_interrupted_deployment_is_completed(
    cloud_fixture: CloudFixture, method: str, action: str
) -> None:
    """The call fails before or after its effect, as if the process had been killed there."""
    cloud_fixture.fault(method, action, status=403, reason="forbidden", message="no")
    with pytest.raises(ProjectSetup, match=r"Done before: .* Not done: ") as caught:
        run(cloud_fixture)
    assert email("notebook-deployer") in caught.value.message
    run(cloud_fixture)
    assert_stands(cloud_fixture)


@pytest.mark.always(1)
@pytest.mark.parametrize("method", UPDATING[::-1], ids=UPDATING[::-1])
def test_an_interrupted_update_is_completed(cloud_fixture: CloudFixture, method: str) -> None:
    run(cloud_fixture)
    desired = cloud_fixture.desired(source(version=2), cron="30 5 * * *")
    cloud_fixture.fault(method, "error_after", status=403, reason="forbidden", message="no")
    with pytest.raises(ProjectSetup):
        run(cloud_fixture, desired)
    run(cloud_fixture, desired)
    assert_stands(cloud_fixture, desired)


@pytest.mark.always(3)
@pytest.mark.parametrize("method", USED, ids=USED)
def test_an_unavailable_api_is_exit_code_6(cloud_fixture: CloudFixture, method: str) -> None:
    cloud_fixture.fault(method, "error", times=10_000, status=503)
    with pytest.raises(EnvironmentFailed, match=r"failed after retries.* Not done: "):
        run(cloud_fixture)


def test_a_failed_build_is_reported_and_the_next_deployment_repairs_the_function(
    cloud_fixture: CloudFixture,
) -> None:
    with pytest.raises(
        ProjectSetup, match=r"(?s)could not be deployed: .*No version of it is live"
    ) as caught:
        run(cloud_fixture, cloud_fixture.desired(source(BROKEN)))
    assert sum("trying once more" in line for line in cloud_fixture.logged) == 1
    assert caught.value.message.endswith(
        "Done before: topic news created. Not done: function, invoker binding, schedule."
    )
    function = look(NAMES, cloud_fixture.clients()).function
    assert function is not None
    assert function.state == "FAILED"
    assert run(cloud_fixture) == ["function nightly updated", *EVERYTHING[2:]]
    assert_stands(cloud_fixture)


def test_an_update_that_does_not_build_leaves_the_old_version_live(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    with pytest.raises(
        ProjectSetup, match=r"(?s)could not be deployed: .* The version before is still live\."
    ):
        run(cloud_fixture, cloud_fixture.desired(source(BROKEN)))
    desired = cloud_fixture.desired(source(version=2))
    assert run(cloud_fixture, desired) == ["function nightly updated"]
    assert_stands(cloud_fixture, desired)


@pytest.mark.always(1)
@pytest.mark.parametrize("verb", ["create", "patch"])
def test_a_fault_of_googles_in_the_operation_is_tried_again(cloud_fixture: CloudFixture, verb: str) -> None:
    if verb == "patch":
        run(cloud_fixture)
    desired = cloud_fixture.desired(source(version=2))
    cloud_fixture.fault(
        f"{FUNCTIONS}.{verb}", "operation_error", code="INTERNAL", message="An internal error."
    )
    assert f"function nightly {'created' if verb == 'create' else 'updated'}" in run(cloud_fixture, desired)
    assert cloud_fixture.consumed() == [1]
    assert_stands(cloud_fixture, desired)


def test_a_job_whose_update_failed_is_repaired(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    desired = cloud_fixture.desired(cron="30 5 * * *")
    cloud_fixture.fault(f"{JOBS}.patch", "update_failed", status=400)
    with pytest.raises(ProjectSetup):
        run(cloud_fixture, desired)
    job = look(NAMES, cloud_fixture.clients()).job
    assert job is not None
    assert job.state == "UPDATE_FAILED"
    assert run(cloud_fixture, desired) == ["schedule nightly updated"]
    assert_stands(cloud_fixture, desired)


def test_a_paused_job_stays_paused(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    owner(cloud_fixture, scheduler_v1.CloudSchedulerClient).pause_job(name=NAMES.job_path)
    desired = cloud_fixture.desired(cron="30 5 * * *")
    assert run(cloud_fixture, desired) == ["schedule nightly updated"]
    assert any("schedule nightly stays paused; to resume it" in line for line in cloud_fixture.logged)
    job = look(NAMES, cloud_fixture.clients()).job
    assert job is not None
    assert (job.state, job.config.cron) == ("PAUSED", "30 5 * * *")
    assert_stands(cloud_fixture, desired)


def test_a_schedule_that_is_no_longer_wanted_is_deleted(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    desired = cloud_fixture.desired(cron=None)
    assert run(cloud_fixture, desired) == ["schedule nightly deleted"]
    assert_stands(cloud_fixture, desired)


def test_a_job_of_ours_with_another_target_is_created_again(tmp_path: Path) -> None:
    state = tmp_path / "cloud"
    with serve_cloud(state) as cloud_fixture:
        run(cloud_fixture)
    file = state / "scheduler" / "jobs.json"
    jobs = json.loads(file.read_text())
    for job in jobs.values():
        del job["pubsubTarget"]
        job |= {"httpTarget": {"uri": "https://example.com/", "httpMethod": "POST"}, "state": "PAUSED"}
    file.write_text(json.dumps(jobs))
    with serve_cloud(state) as cloud_fixture:
        assert run(cloud_fixture) == ["schedule nightly deleted", "schedule nightly created"]
        assert_stands(cloud_fixture)


def test_changes_by_others_are_reverted(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    function = functions_v2.Function(
        name=NAMES.function_path,
        service_config=functions_v2.ServiceConfig(max_instance_count=5, timeout_seconds=60),
    )
    mask = FieldMask(paths=["service_config.max_instance_count", "service_config.timeout_seconds"])
    owner(cloud_fixture, functions_v2.FunctionServiceClient).update_function(
        function=function, update_mask=mask
    ).result(timeout=PATIENCE)
    assert run(cloud_fixture) == ["function nightly updated"]
    assert any(
        "(service_config.timeout_seconds, service_config.max_instance_count)" in s
        for s in cloud_fixture.logged
    )
    assert_stands(cloud_fixture)


def test_a_function_of_somebody_else_is_never_touched(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    function = functions_v2.Function(name=NAMES.function_path, labels={"team": "data"})
    owner(cloud_fixture, functions_v2.FunctionServiceClient).update_function(
        function=function, update_mask=FieldMask(paths=["labels"])
    ).result(timeout=PATIENCE)
    before = cloud_fixture.calls()
    with pytest.raises(ProjectSetup, match=rf"{NAMES.function_path} was not made by this deployment"):
        run(cloud_fixture, cloud_fixture.desired(source(version=2)))
    assert writes(before, cloud_fixture.calls()) == {}
    changes = remove(cloud_fixture)
    assert [change.kind for change in changes] == ["schedule"]  # the topic is heard by that function
    assert [item["name"] for item in cloud_fixture.cloud.inventory()["functions"]] == ["nightly"]


def test_a_job_of_somebody_else_is_never_touched(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.clients().topics.create(NAMES.topic_path, {})
    job: Any = {
        "name": NAMES.job_path,
        "description": "the report of the sales team",
        "schedule": "0 * * * *",
        "pubsub_target": {"topic_name": NAMES.topic_path, "data": b"go"},
    }
    owner(cloud_fixture, scheduler_v1.CloudSchedulerClient).create_job(parent=NAMES.location, job=job)
    before = cloud_fixture.calls()
    with pytest.raises(ProjectSetup, match=rf"{NAMES.job_path} was not made by this deployment"):
        run(cloud_fixture)
    assert remove(cloud_fixture) == ()
    assert writes(before, cloud_fixture.calls()) == {}


def test_a_topic_that_was_there_is_used_and_stays(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.clients().topics.create(NAMES.topic_path, {"team": "data"})
    assert run(cloud_fixture) == EVERYTHING[1:]
    assert_stands(cloud_fixture)
    remove(cloud_fixture)
    assert [item["name"] for item in cloud_fixture.cloud.inventory()["pubsub.topics"]] == ["news"]


@pytest.mark.exhaustive
def test_a_deleted_topic_replaces_the_function(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    cloud_fixture.clients().topics.delete(NAMES.topic_path)
    assert run(cloud_fixture) == ["function nightly deleted", *EVERYTHING[:3]]
    assert_stands(cloud_fixture)


def test_a_topic_that_somebody_created_again_is_detected(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    cloud_fixture.clients().topics.delete(NAMES.topic_path)
    cloud_fixture.clients().topics.create(NAMES.topic_path, {})
    assert run(cloud_fixture) == ["function nightly deleted", *EVERYTHING[1:3]]
    assert_stands(cloud_fixture)
    fire(cloud_fixture)
    heard(cloud_fixture, 1)


def test_a_new_topic_replaces_the_function_and_updates_the_schedule(cloud_fixture: CloudFixture) -> None:
    run(cloud_fixture)
    names = replace(NAMES, topic="other")
    desired = cloud_fixture.desired(names=names)
    assert run(cloud_fixture, desired) == [
        "topic other created",
        "function nightly deleted",
        "function nightly created",
        EVERYTHING[2],
        "schedule nightly updated",
    ]
    assert steps(look(names, cloud_fixture.clients()), desired) == ()
    assert run(cloud_fixture, desired) == []
    fire(cloud_fixture)
    heard(cloud_fixture, 1)


def test_a_missing_permission_to_deploy_is_named(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(
        ProjectSetup, match=rf"{email('notebook-builder')} lacks cloudfunctions\.functions\.get"
    ):
        run(cloud_fixture, account="notebook-builder")


@pytest.mark.parametrize("account", ["notebook-function", "notebook-function-build"])
def test_a_missing_permission_to_act_as_an_account_names_the_account(tmp_path: Path, account: str) -> None:
    target = f"projects/{PROJECT}/serviceAccounts/{email(account)}"
    grants = [grant for grant in GRANTS if (grant.account, grant.on) != ("notebook-deployer", target)]
    with Cloud(tmp_path / "cloud", profile=granting(grants)) as cloud:
        cloud_fixture = CloudFixture(cloud)
        with pytest.raises(ProjectSetup, match=r"lacks iam\.serviceAccounts\.actAs") as caught:
            run(cloud_fixture)
    assert (
        caught.value.advice
        == f"Grant {email('notebook-deployer')} roles/iam.serviceAccountUser on {email(account)}."
    )


def test_two_deployments_at_once_end_in_one_state(cloud_fixture: CloudFixture) -> None:
    failures: list[BaseException] = []

    def deploy() -> None:
        try:
            run(cloud_fixture)
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert_stands(cloud_fixture)
