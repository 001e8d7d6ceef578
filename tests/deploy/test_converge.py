"""Convergence against localcloud: real functions are built and served, real calls fail, and each time the same state comes of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import functions_v2, scheduler_v1
from google.protobuf.field_mask_pb2 import FieldMask

from builder.deploy.converge import converge, look, remove
from builder.deploy.resources import Resources, differences
from builder.errors import EnvironmentFailed, ProjectSetup
from localcloud.cloud import Cloud
from localcloud.iam import GRANTS, PROJECT, email
from tests.deploy.place import NAMES, Place, opened, source

FUNCTIONS = "cloudfunctions.projects.locations.functions"
JOBS = "cloudscheduler.projects.locations.jobs"
TOPICS = "pubsub.projects.topics"
POLICY = "run.projects.locations.services.setIamPolicy"
READS = ("get", "list", "getIamPolicy", "testIamPermissions")
BROKEN = "def submit(event:\n"


def run(place: Place, desired: Resources | None = None, account: str = "deployer") -> list[str]:
    """Converge, and return what it says that it changed."""
    changes = converge(desired or place.desired(), place.doors(account), place.said.append)
    return [str(change) for change in changes]


def writes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """How often methods were called in between that are no reads."""
    return {
        method: after[method] - before.get(method, 0)
        for method in after
        if after[method] != before.get(method, 0) and method.rpartition(".")[2] not in READS
    }


def assert_stands(place: Place, desired: Resources | None = None) -> None:
    """All is as desired, there is one of each, and one more deployment makes no call that could write."""
    wanted = desired or place.desired()
    assert differences(look(wanted.names, place.doors()), wanted) == ()
    inventory = place.cloud.inventory()
    assert [item["name"] for item in inventory["functions"]] == ["nightly"]
    assert [item["name"] for item in inventory["pubsub.topics"]] == ["news"]
    assert [item["name"] for item in inventory["scheduler.jobs"]] == (["nightly"] if wanted.job else [])
    before = place.calls()
    assert run(place, wanted) == []
    assert writes(before, place.calls()) == {}


def owner(place: Place, kind: Any) -> Any:
    """Google's own client, as somebody else in the project."""
    options = {"api_endpoint": place.cloud.url}
    return kind(credentials=AnonymousCredentials(), transport="rest", client_options=options)


EVERYTHING = [
    "topic news created",
    "function nightly created",
    f"invoker {email('trigger')} bound",
    "schedule nightly created",
]


def test_everything_is_made_and_then_only_looked_at(place: Place) -> None:
    assert run(place) == EVERYTHING
    assert_stands(place)
    status = look(NAMES, place.doors())
    assert status.function is not None
    assert status.function.state == "ACTIVE"
    assert status.function.service == NAMES.service_path


def heard(place: Place, times: int) -> str:
    """The function's log, once it has heard so many messages."""
    log = place.cloud.state / "functions" / "nightly" / "log.txt"
    deadline = time.monotonic() + 20
    while log.read_text().count("heard ") < times:
        assert time.monotonic() < deadline, log.read_text()
        place.cloud.clock.advance(1)  # for deliveries that are repeated
        time.sleep(0.05)
    return log.read_text()


def fire(place: Place) -> None:
    owner(place, scheduler_v1.CloudSchedulerClient).run_job(name=NAMES.job_path)


def test_what_the_schedule_publishes_is_heard_also_after_repairs(place: Place) -> None:
    run(place)
    fire(place)
    heard(place, 1)
    place.doors().topics.delete(NAMES.topic_path)
    run(place)
    fire(place)
    heard(place, 2)
    run(place, place.desired(source(version=2)))
    fire(place)
    assert heard(place, 3).splitlines()[-1].endswith(" 2")


FIRST_USE = (
    "Validation failed for trigger projects/local-project/locations/us-central1/triggers/nightly-0: Invalid resource state for "
    '"": Permission denied while using the Eventarc Service Agent. If you recently started to use Eventarc, it may take a few '
    "minutes before all necessary permissions are propagated to the Service Agent. Otherwise, verify that it has Eventarc "
    "Service Agent role."
)
WAITS = "Google is still setting up Eventarc in this project: waiting 60 s"


@pytest.mark.parametrize(("status", "reason"), [(400, "failedPrecondition"), (403, "forbidden")])
def test_a_project_that_is_new_to_eventarc_is_waited_for_when_the_call_is_refused(
    place: Place, status: int, reason: str
) -> None:
    place.fault(f"{FUNCTIONS}.create", "error", times=9, status=status, reason=reason, message=FIRST_USE)
    assert run(place) == EVERYTHING
    assert place.said.count(WAITS) == 9
    assert place.consumed() == [9]
    assert_stands(place)


def test_an_eventarc_agent_without_its_role_ends_after_ten_minutes_with_its_name(place: Place) -> None:
    place.fault(f"{FUNCTIONS}.create", "error", times=11, status=400, message=FIRST_USE)
    with pytest.raises(
        ProjectSetup, match="Permission denied while using the Eventarc Service Agent"
    ) as caught:
        run(place)
    assert place.said.count(WAITS) == 10
    assert place.consumed() == [11]
    assert "gcp-sa-eventarc.iam.gserviceaccount.com, roles/eventarc.serviceAgent" in caught.value.advice


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "words",
    [
        "Validation failed for trigger projects/p/locations/l/triggers/t: the event provider is not ready",
        "Cannot create trigger projects/p/locations/l/triggers/t: Permission denied on 'projects/p'",
    ],
    ids=["validation", "creation"],
)
def test_a_refused_trigger_is_told_in_googles_words_and_not_blamed_on_the_caller(
    place: Place, words: str, status: int
) -> None:
    place.fault(f"{FUNCTIONS}.create", "error", status=status, message=words)
    with pytest.raises(ProjectSetup) as caught:
        run(place)
    assert words in caught.value.message
    assert "lacks" not in caught.value.message
    assert "NB_TRIGGER_SERVICE_ACCOUNT" in caught.value.advice


CREATING = [
    f"{TOPICS}.create",
    f"{FUNCTIONS}.generateUploadUrl",
    f"{FUNCTIONS}.create",
    POLICY,
    f"{JOBS}.create",
]
READING = [f"{FUNCTIONS}.get", f"{TOPICS}.get", f"{JOBS}.get"]
UPDATING = [f"{FUNCTIONS}.patch", f"{JOBS}.patch"]
DELETING = [f"{TOPICS}.delete", f"{FUNCTIONS}.delete", f"{JOBS}.delete"]


@pytest.mark.parametrize("method", CREATING, ids=CREATING)
def test_a_reply_lost_after_its_effect_is_found_out(place: Place, method: str) -> None:
    place.fault(method, "drop_after")
    assert run(place) == EVERYTHING
    assert place.consumed() == [1]
    assert_stands(place)


@pytest.mark.parametrize("method", UPDATING, ids=UPDATING)
def test_the_same_for_updates(place: Place, method: str) -> None:
    run(place)
    place.fault(method, "drop_after")
    desired = place.desired(source(version=2), cron="30 5 * * *")
    assert run(place, desired) == ["function nightly updated", "schedule nightly updated"]
    assert place.consumed() == [1]
    assert_stands(place, desired)


@pytest.mark.parametrize("method", DELETING, ids=DELETING)
def test_the_same_for_removing(place: Place, method: str) -> None:
    run(place)
    place.fault(method, "drop_after")
    changes = remove(NAMES, place.doors(), place.said.append)
    assert [str(change) for change in changes] == [
        "schedule nightly deleted",
        "function nightly deleted",
        "topic news deleted",
    ]
    assert place.consumed() == [1]
    inventory = place.cloud.inventory()
    assert [inventory[kind] for kind in ("functions", "pubsub.topics", "scheduler.jobs")] == [[], [], []]
    assert remove(NAMES, place.doors(), place.said.append) == ()


@pytest.mark.parametrize("action", ["error", "error_after"])
@pytest.mark.parametrize("method", CREATING, ids=CREATING)
def test_a_deployment_that_ended_early_is_gone_on_with(place: Place, method: str, action: str) -> None:
    """The call is refused for good, before or after its effect: as if the process had been killed there."""
    place.fault(method, action, status=403, reason="forbidden", message="no")
    with pytest.raises(ProjectSetup, match=r"Done before: .* Not done: ") as caught:
        run(place)
    assert email("deployer") in caught.value.message
    run(place)
    assert_stands(place)


@pytest.mark.parametrize("method", UPDATING, ids=UPDATING)
def test_an_update_that_ended_early_is_gone_on_with(place: Place, method: str) -> None:
    run(place)
    desired = place.desired(source(version=2), cron="30 5 * * *")
    place.fault(method, "error_after", status=403, reason="forbidden", message="no")
    with pytest.raises(ProjectSetup):
        run(place, desired)
    run(place, desired)
    assert_stands(place, desired)


@pytest.mark.parametrize("method", CREATING + READING, ids=CREATING + READING)
def test_an_api_that_is_down_for_good_is_the_environments_fault(place: Place, method: str) -> None:
    place.fault(method, "error", times=10_000, status=503)
    with pytest.raises(EnvironmentFailed, match=r"failed after retries.* Not done: "):
        run(place)


def test_a_function_that_does_not_build_is_told_and_the_next_deployment_repairs_it(place: Place) -> None:
    with pytest.raises(
        ProjectSetup, match=r"(?s)could not be deployed: .*No version of it is live"
    ) as caught:
        run(place, place.desired(source(BROKEN)))
    assert caught.value.message.endswith(
        "Done before: topic news created. Not done: function, invoker binding, schedule."
    )
    function = look(NAMES, place.doors()).function
    assert function is not None
    assert function.state == "FAILED"
    assert run(place) == ["function nightly updated", *EVERYTHING[2:]]
    assert_stands(place)


def test_an_update_that_does_not_build_leaves_the_old_version_live(place: Place) -> None:
    run(place)
    with pytest.raises(
        ProjectSetup, match=r"(?s)could not be deployed: .* The version before is still live\."
    ):
        run(place, place.desired(source(BROKEN)))
    desired = place.desired(source(version=2))
    assert run(place, desired) == ["function nightly updated"]
    assert_stands(place, desired)


@pytest.mark.parametrize("verb", ["create", "patch"])
def test_a_fault_of_googles_in_the_operation_is_tried_again(place: Place, verb: str) -> None:
    if verb == "patch":
        run(place)
    desired = place.desired(source(version=2))
    place.fault(f"{FUNCTIONS}.{verb}", "operation_error", code="INTERNAL", message="An internal error.")
    assert f"function nightly {'created' if verb == 'create' else 'updated'}" in run(place, desired)
    assert place.consumed() == [1]
    assert_stands(place, desired)


def test_a_job_whose_update_failed_is_repaired(place: Place) -> None:
    run(place)
    desired = place.desired(cron="30 5 * * *")
    place.fault(f"{JOBS}.patch", "update_failed", status=400)
    with pytest.raises(ProjectSetup):
        run(place, desired)
    job = look(NAMES, place.doors()).job
    assert job is not None
    assert job.state == "UPDATE_FAILED"
    assert run(place, desired) == ["schedule nightly updated"]
    assert_stands(place, desired)


def test_a_paused_job_stays_paused(place: Place) -> None:
    run(place)
    owner(place, scheduler_v1.CloudSchedulerClient).pause_job(name=NAMES.job_path)
    desired = place.desired(cron="30 5 * * *")
    assert run(place, desired) == ["schedule nightly updated"]
    assert any("schedule nightly is paused and stays so" in line for line in place.said)
    job = look(NAMES, place.doors()).job
    assert job is not None
    assert (job.state, job.config.cron) == ("PAUSED", "30 5 * * *")
    assert_stands(place, desired)


def test_no_schedule_any_more(place: Place) -> None:
    run(place)
    desired = place.desired(cron=None)
    assert run(place, desired) == ["schedule nightly deleted"]
    assert_stands(place, desired)


def test_a_job_of_ours_that_calls_something_else_is_made_anew(tmp_path: Path) -> None:
    state = tmp_path / "cloud"
    with opened(state) as place:
        run(place)
    file = state / "scheduler" / "jobs.json"
    jobs = json.loads(file.read_text())
    for job in jobs.values():
        del job["pubsubTarget"]
        job |= {"httpTarget": {"uri": "https://example.com/", "httpMethod": "POST"}, "state": "PAUSED"}
    file.write_text(json.dumps(jobs))
    with opened(state) as place:
        assert run(place) == ["schedule nightly deleted", "schedule nightly created"]
        assert_stands(place)


def test_what_others_changed_is_put_right(place: Place) -> None:
    run(place)
    function = functions_v2.Function(
        name=NAMES.function_path,
        service_config=functions_v2.ServiceConfig(max_instance_count=5, timeout_seconds=60),
    )
    mask = FieldMask(paths=["service_config.max_instance_count", "service_config.timeout_seconds"])
    owner(place, functions_v2.FunctionServiceClient).update_function(
        function=function, update_mask=mask
    ).result(timeout=60)
    assert run(place) == ["function nightly updated"]
    assert any("(service_config.timeout_seconds, service_config.max_instance_count)" in s for s in place.said)
    assert_stands(place)


def test_a_function_of_somebody_else_is_never_touched(place: Place) -> None:
    run(place)
    function = functions_v2.Function(name=NAMES.function_path, labels={"team": "data"})
    owner(place, functions_v2.FunctionServiceClient).update_function(
        function=function, update_mask=FieldMask(paths=["labels"])
    ).result(timeout=60)
    before = place.calls()
    with pytest.raises(ProjectSetup, match=rf"{NAMES.function_path} was not made by this deployment"):
        run(place, place.desired(source(version=2)))
    assert writes(before, place.calls()) == {}
    changes = remove(NAMES, place.doors(), place.said.append)
    assert [change.kind for change in changes] == ["schedule"]  # the topic is heard by that function
    assert [item["name"] for item in place.cloud.inventory()["functions"]] == ["nightly"]


def test_a_job_of_somebody_else_is_never_touched(place: Place) -> None:
    place.doors().topics.create(NAMES.topic_path, {})
    job: Any = {
        "name": NAMES.job_path,
        "description": "the report of the sales team",
        "schedule": "0 * * * *",
        "pubsub_target": {"topic_name": NAMES.topic_path, "data": b"go"},
    }
    owner(place, scheduler_v1.CloudSchedulerClient).create_job(parent=NAMES.location, job=job)
    before = place.calls()
    with pytest.raises(ProjectSetup, match=rf"{NAMES.job_path} was not made by this deployment"):
        run(place)
    assert remove(NAMES, place.doors(), place.said.append) == ()
    assert writes(before, place.calls()) == {}


def test_a_topic_that_was_there_is_used_and_stays(place: Place) -> None:
    place.doors().topics.create(NAMES.topic_path, {"team": "data"})
    assert run(place) == EVERYTHING[1:]
    assert_stands(place)
    remove(NAMES, place.doors(), place.said.append)
    assert [item["name"] for item in place.cloud.inventory()["pubsub.topics"]] == ["news"]


def test_a_topic_that_was_deleted_under_the_function_takes_that_along(place: Place) -> None:
    run(place)
    place.doors().topics.delete(NAMES.topic_path)
    assert run(place) == ["function nightly deleted", *EVERYTHING[:3]]
    assert_stands(place)


def test_a_topic_that_was_made_anew_by_somebody_is_noticed(place: Place) -> None:
    run(place)
    place.doors().topics.delete(NAMES.topic_path)
    place.doors().topics.create(NAMES.topic_path, {})
    assert run(place) == ["function nightly deleted", *EVERYTHING[1:3]]
    assert_stands(place)
    fire(place)
    heard(place, 1)


def test_another_topic_takes_function_and_schedule_along(place: Place) -> None:
    run(place)
    names = replace(NAMES, topic="other")
    desired = place.desired(names=names)
    assert run(place, desired) == [
        "topic other created",
        "function nightly deleted",
        "function nightly created",
        EVERYTHING[2],
        "schedule nightly updated",
    ]
    assert differences(look(names, place.doors()), desired) == ()
    assert run(place, desired) == []
    fire(place)
    heard(place, 1)


def test_who_may_not_deploy_is_told_what_is_missing(place: Place) -> None:
    with pytest.raises(ProjectSetup, match=rf"{email('builder')} lacks cloudfunctions\.functions\.get"):
        run(place, account="builder")


@pytest.mark.parametrize("account", ["function", "function-build"])
def test_who_may_not_act_as_an_account_is_told_which(tmp_path: Path, account: str) -> None:
    target = f"projects/{PROJECT}/serviceAccounts/{email(account)}"
    grants = [grant for grant in GRANTS if (grant.account, grant.on) != ("deployer", target)]
    with Cloud(tmp_path / "cloud", grants=grants) as cloud:
        place = Place(cloud)
        with pytest.raises(ProjectSetup, match=r"lacks iam\.serviceAccounts\.actAs") as caught:
            run(place)
    assert (
        caught.value.advice == f"Grant {email('deployer')} roles/iam.serviceAccountUser on {email(account)}."
    )


def test_two_deployments_at_once_end_in_one_state(place: Place) -> None:
    failures: list[BaseException] = []

    def deploy() -> None:
        try:
            run(place)
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert failures == []
    assert_stands(place)
