"""Creating, changing and deleting functions: how the operation ends, and what is left when it fails."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions

from localcloud.iam import email
from tests.localcloud.functions.conftest import (
    FUNCTION,
    MAIN,
    REGION,
    REQUIREMENTS,
    SERVICE,
    TOPIC,
    World,
    archive,
    await_true,
    result,
)

ACTIVE, FAILED, DEPLOYING = "ACTIVE", "FAILED", "DEPLOYING"
CREATE = "cloudfunctions.projects.locations.functions.create"


def test_the_deployer_makes_a_function_and_says_who_may_invoke_it(world: World) -> None:
    operation = world.begin("deployer")
    assert operation.metadata.target == FUNCTION
    assert operation.metadata.operation_type.name == "CREATE_FUNCTION"

    made = result(operation)

    assert made.state.name == ACTIVE
    assert made.environment.name == "GEN_2"
    assert made.service_config.service == SERVICE
    assert made.service_config.service_account_email == email("function")
    assert made.event_trigger.trigger.startswith(f"{REGION}/triggers/nightly-")
    assert made.url == made.service_config.uri
    stages = [(stage.name.name, stage.state.name) for stage in operation.metadata.stages]
    assert stages == [(name, "COMPLETE") for name in ("ARTIFACT_REGISTRY", "BUILD", "SERVICE", "TRIGGER")]
    binding = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('trigger')}"]}
    policy = {"policy": {"bindings": [binding]}}
    assert world.call("POST", f"/v2/{SERVICE}:setIamPolicy", policy, "deployer").status_code == 200
    assert world.get() == made
    assert list(world.client("deployer").list_functions(parent=REGION)) == [made]
    assert list(world.client().list_functions(parent=REGION.replace("us-central1", "-"))) == [made]


def test_the_inventory_lists_functions(world: World) -> None:
    made = world.create(labels={"team": "news"})
    (entry,) = world.cloud.inventory()["functions"]
    assert entry["name"] == "nightly"
    assert entry["location"] == "us-central1"
    assert entry["state"] == ACTIVE
    assert entry["url"] == made.url
    assert entry["labels"] == {"team": "news"}
    assert entry["topic"] == "news"


def test_what_the_builder_lacks_is_a_403_in_googles_words(world: World) -> None:
    source = world.upload({"main.py": MAIN})
    with pytest.raises(exceptions.Forbidden, match=r"'cloudfunctions\.functions\.create' denied"):
        world.begin("builder", build_config__source={"storage_source": source})
    with pytest.raises(exceptions.Forbidden, match=r"'cloudfunctions\.functions\.sourceCodeSet' denied"):
        world.upload({"main.py": MAIN}, "builder")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"service_config__service_account_email": email("builder")}, id="service account"),
        pytest.param(
            {"build_config__service_account": f"projects/local-project/serviceAccounts/{email('builder')}"},
            id="build account",
        ),
    ],
)
def test_the_caller_must_act_as_the_accounts(world: World, fields: Any) -> None:
    with pytest.raises(exceptions.Forbidden, match=r"'iam\.serviceaccounts\.actAs' denied on .* builder@"):
        world.begin("deployer", **fields)


def test_a_name_that_is_taken_ends_the_operation(world: World) -> None:
    made = world.create()
    operation = world.begin()
    with pytest.raises(exceptions.AlreadyExists, match="already exists"):
        result(operation)
    assert world.get() == made


def test_one_operation_at_a_time(world: World) -> None:
    operation = world.begin()
    with pytest.raises(exceptions.Conflict, match="unable to queue the operation"):
        world.client().delete_function(name=FUNCTION)
    assert world.get().state.name == DEPLOYING
    result(operation)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(
            {"app.py": MAIN}, "missing main.py and GOOGLE_FUNCTION_SOURCE not specified", id="no main.py"
        ),
        pytest.param({"sub/main.py": MAIN}, "missing main.py", id="main.py in a folder"),
        pytest.param({"main.py": "def go(:"}, "failed to compile the source", id="syntax error"),
        pytest.param({"main.py": MAIN, "../outside.py": ""}, "leads out of it", id="member that leads up"),
        pytest.param({"main.py": MAIN, "/outside.py": ""}, "leads out of it", id="absolute member"),
        pytest.param(b"no zip", "no zip file that can be read", id="no zip file"),
        pytest.param(
            archive({"main.py": MAIN})[:-30], "no zip file that can be read", id="truncated zip file"
        ),
        pytest.param(
            {"main.py": MAIN, "requirements.txt": "-r other.txt"},
            "no other files",
            id="requirements of another file",
        ),
        pytest.param(
            {"main.py": MAIN, "requirements.txt": "not a requirement !"},
            "failed to install the packages",
            id="no requirement",
        ),
    ],
)
def test_a_source_that_does_not_build(world: World, files: Any, words: str) -> None:
    operation = world.begin(build_config__source={"storage_source": world.upload(files)})
    with pytest.raises(exceptions.InvalidArgument, match="Build failed with status: FAILURE") as told:
        result(operation)
    assert words in str(told.value)
    left = world.get()
    assert left.state.name == FAILED
    assert words in left.state_messages[0].message


def test_a_source_that_was_never_uploaded(world: World) -> None:
    offer = world.client().generate_upload_url(request={"parent": REGION})
    operation = world.begin(build_config__source={"storage_source": offer.storage_source})
    with pytest.raises(exceptions.InvalidArgument, match="failed to fetch the source gs://gcf-v2-uploads"):
        result(operation)


def test_a_source_in_a_bucket_is_read_as_the_account_that_builds(world: World) -> None:
    path = "/upload/storage/v1/b/local-project-notebooks/o?uploadType=media&name=source.zip"
    put = requests.post(
        world.cloud.url + path,
        data=archive({"main.py": MAIN, "requirements.txt": REQUIREMENTS}),
        headers={"content-type": "application/zip"},
        timeout=10,
    )
    assert put.status_code == 200
    source = {"storage_source": {"bucket": "local-project-notebooks", "object_": "source.zip"}}
    vm = f"projects/local-project/serviceAccounts/{email('vm')}"
    with pytest.raises(exceptions.InvalidArgument, match=r"storage\.objects\.get"):
        world.create(build_config__source=source, build_config__service_account=vm)
    builds = f"projects/local-project/serviceAccounts/{email('function-build')}"
    result(
        world.patch(
            "build_config",
            build_config__source=source,
            build_config__runtime="python311",
            build_config__entry_point="go",
            build_config__service_account=builds,
        )
    )
    assert world.get().state.name == ACTIVE


def test_an_entry_point_that_is_not_there_and_its_repair(world: World) -> None:
    operation = world.begin(build_config__entry_point="nope")
    with pytest.raises(exceptions.InvalidArgument, match="Container Healthcheck failed") as told:
        result(operation)
    assert "expected to contain a function named 'nope'" in str(told.value)
    left = world.get()
    assert left.state.name == FAILED
    assert "named 'nope'" in left.state_messages[0].message
    assert world.call("GET", f"/v2/{SERVICE}").status_code == 404
    with pytest.raises(exceptions.AlreadyExists):
        result(world.begin())

    result(world.patch("build_config.entry_point", build_config__entry_point="go"))

    repaired = world.get()
    assert repaired.state.name == ACTIVE
    assert not repaired.state_messages
    world.bind()
    world.publish()
    world.await_events(1)


def test_a_failed_update_leaves_the_old_revision_serving(world: World) -> None:
    made = world.create()
    world.bind()
    source = {
        "storage_source": world.upload(
            {"main.py": "raise SystemExit('broken')", "requirements.txt": REQUIREMENTS}
        )
    }
    with pytest.raises(exceptions.InvalidArgument, match="broken"):
        result(world.patch("build_config.source", build_config__source=source))

    assert world.get() == made
    world.publish()
    (line,) = world.await_events(1)
    assert line["env"]["K_REVISION"] == made.service_config.revision


def test_an_update_serves_the_new_source(world: World) -> None:
    made = world.create()
    world.bind()
    files = {"main.py": MAIN.replace('"got"', '"got", "version": 2'), "requirements.txt": REQUIREMENTS}
    source = {"storage_source": world.upload(files)}

    changed = result(world.patch("build_config.source", build_config__source=source))

    assert changed.service_config.revision != made.service_config.revision
    assert changed.event_trigger == made.event_trigger
    assert changed.create_time == made.create_time
    world.publish()
    assert world.await_events(1)[0]["version"] == 2


def test_a_mask_changes_what_it_names_and_resets_the_rest_of_a_message_that_it_names(world: World) -> None:
    world.create(service_config__timeout_seconds=120, service_config__environment_variables={"A": "1"})

    narrow = result(world.patch("service_config.available_memory", service_config__available_memory="2Gi"))
    assert narrow.service_config.timeout_seconds == 120
    assert narrow.service_config.available_cpu == "1"

    account = email("function")
    whole = result(world.patch("service_config", service_config__service_account_email=account))
    assert whole.service_config.timeout_seconds == 60
    assert whole.service_config.available_memory == "256M"
    assert whole.service_config.max_instance_count == 100
    assert not whole.service_config.environment_variables
    assert whole.event_trigger.pubsub_topic == TOPIC


def test_no_mask_means_all_fields(world: World) -> None:
    world.create(description="old", labels={"team": "news"})
    fields = world.function()
    changed = result(world.patch("", **fields))
    assert changed.description == ""
    assert not changed.labels
    with pytest.raises(exceptions.BadRequest, match=r"build_config\.runtime is required"):
        world.patch("", description="only this")


@pytest.mark.parametrize("mask", [["description"], []], ids=["one field", "whole function"])
def test_a_function_that_was_read_can_be_changed_and_sent_back(world: World, mask: list[str]) -> None:
    world.create(labels={"team": "news"}, service_config__timeout_seconds=120)
    read = world.get()
    assert read.url
    assert read.service_config.revision
    read.description = "new"
    request = {"function": read, "update_mask": {"paths": mask}}
    changed = result(world.client().update_function(request=request))
    assert (changed.description, changed.state.name) == ("new", ACTIVE)
    assert changed.service_config.revision != read.service_config.revision
    for after, before in ((changed, read), (world.get(), changed)):
        assert after.labels == before.labels
        assert after.build_config.runtime == before.build_config.runtime
        assert after.service_config.timeout_seconds == 120
        assert after.event_trigger == before.event_trigger


@pytest.mark.parametrize("mask", ["state", "name", "build_config.colour", "environment", "description.x"])
def test_masks_that_name_nothing(world: World, mask: str) -> None:
    world.create()
    answer = world.call("PATCH", f"/v2/{FUNCTION}?updateMask={mask}", {"description": "x"})
    assert answer.status_code == 400
    assert mask in answer.json()["error"]["message"]


def test_another_topic_means_another_trigger(world: World) -> None:
    made = world.create()
    other = f"{TOPIC}-2"
    world.topic(other)
    changed = result(world.patch("event_trigger.pubsub_topic", event_trigger__pubsub_topic=other))
    assert changed.event_trigger.pubsub_topic == other
    assert changed.event_trigger.trigger != made.event_trigger.trigger
    (left,) = world.cloud.inventory()["pubsub.subscriptions"]
    assert left["topic"] == "news-2"


def test_a_deleted_function_is_gone_with_its_subscription_and_its_policy(world: World) -> None:
    world.create()
    world.bind()

    operation = world.client("deployer").delete_function(name=FUNCTION)
    result(operation)

    assert operation.metadata.operation_type.name == "DELETE_FUNCTION"
    with pytest.raises(exceptions.NotFound, match=f"Resource '{FUNCTION}' was not found"):
        world.get()
    inventory = world.cloud.inventory()
    assert inventory["functions"] == []
    assert inventory["pubsub.subscriptions"] == []
    assert [topic["name"] for topic in inventory["pubsub.topics"]] == ["news"]
    assert world.call("GET", f"/v2/{SERVICE}").status_code == 404
    with pytest.raises(exceptions.NotFound):
        world.client().delete_function(name=FUNCTION)

    world.create()
    world.publish()
    await_true(lambda: "was not authorized" in world.log())


def test_what_is_not_there(world: World) -> None:
    with pytest.raises(exceptions.NotFound, match="was not found"):
        world.patch("description", description="x")
    answer = world.call("GET", f"/v2/{REGION}/operations/none")
    assert answer.status_code == 404


def test_operations_are_listed(world: World) -> None:
    operation = world.begin()
    result(operation)
    listed = world.call("GET", f"/v2/{REGION}/operations", account="deployer").json()["operations"]
    assert [each["name"] for each in listed] == [operation.operation.name]


@pytest.mark.parametrize("stage", ["ARTIFACT_REGISTRY", "BUILD", "SERVICE", "TRIGGER"])
def test_a_planned_fault_fails_a_create_at_a_stage(world: World, stage: str) -> None:
    args = {"code": "UNAVAILABLE", "message": "no luck", "stage": stage}
    world.cloud.faults.add({"method": CREATE, "action": "operation_error", "args": args})
    operation = world.begin()
    with pytest.raises(exceptions.ServiceUnavailable, match="no luck"):
        result(operation)
    assert world.get().state.name == FAILED
    assert world.call("GET", f"/v2/{SERVICE}").status_code == 404
    assert world.cloud.inventory()["faults"][0]["consumed"] == 1


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_a_planned_fault_leaves_the_function_as_it_was(world: World, verb: str) -> None:
    made = world.create()
    method = f"cloudfunctions.projects.locations.functions.{verb}"
    args = {"code": "INTERNAL", "stage": "TRIGGER"}
    world.cloud.faults.add({"method": method, "action": "operation_error", "args": args})
    if verb == "patch":
        operation = world.patch("description", description="x")
    else:
        operation = world.client().delete_function(name=FUNCTION)
    with pytest.raises(exceptions.InternalServerError):
        result(operation)
    assert world.get() == made
    world.bind()
    world.publish()
    world.await_events(1)
