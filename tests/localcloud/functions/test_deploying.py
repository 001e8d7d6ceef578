"""Creating, changing and deleting functions: the end of the operation, and the state after a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from localcloud.core.iam import email
from tests.localcloud.functions.conftest import (
    FUNCTION,
    MAIN,
    REGION,
    REQUIREMENTS,
    SERVICE,
    TOPIC,
    CloudFixture,
    archive,
    result,
)
from tests.patience import PATIENCE
from tests.polling import eventually

ACTIVE, FAILED, DEPLOYING = "ACTIVE", "FAILED", "DEPLOYING"
CREATE = "cloudfunctions.projects.locations.functions.create"


def test_the_deployer_creates_a_function_and_sets_its_invokers(cloud_fixture: CloudFixture) -> None:
    operation = cloud_fixture.begin("notebook-deployer")
    assert operation.metadata.target == FUNCTION
    assert operation.metadata.operation_type.name == "CREATE_FUNCTION"

    made = result(operation)

    assert made.state.name == ACTIVE
    assert made.environment.name == "GEN_2"
    assert made.service_config.service == SERVICE
    assert made.service_config.service_account_email == email("notebook-function")
    assert made.event_trigger.trigger.startswith(f"{REGION}/triggers/nightly-")
    assert made.url == made.service_config.uri
    binding = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('notebook-trigger')}"]}
    policy = {"policy": {"bindings": [binding]}}
    assert (
        cloud_fixture.call("POST", f"/v2/{SERVICE}:setIamPolicy", policy, "notebook-deployer").status_code
        == 200
    )
    assert cloud_fixture.get() == made


def test_the_inventory_lists_functions(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create(labels={"team": "news"})
    (entry,) = cloud_fixture.cloud.inventory()["functions"]
    assert entry["name"] == "nightly"
    assert entry["location"] == "us-central1"
    assert entry["state"] == ACTIVE
    assert entry["url"] == made.url
    assert entry["labels"] == {"team": "news"}
    assert entry["topic"] == "news"


def test_a_missing_permission_is_a_403_in_googles_words(cloud_fixture: CloudFixture) -> None:
    source = cloud_fixture.upload({"main.py": MAIN})
    with pytest.raises(exceptions.Forbidden, match=r"'cloudfunctions\.functions\.create' denied"):
        cloud_fixture.begin("notebook-builder", build_config__source={"storage_source": source})
    with pytest.raises(exceptions.Forbidden, match=r"'cloudfunctions\.functions\.sourceCodeSet' denied"):
        cloud_fixture.upload({"main.py": MAIN}, "notebook-builder")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"service_config__service_account_email": email("notebook-builder")}, id="service account"
        ),
        pytest.param(
            {
                "build_config__service_account": f"projects/local-project/serviceAccounts/{email('notebook-builder')}"
            },
            id="build account",
        ),
    ],
)
def test_the_caller_must_act_as_the_accounts(cloud_fixture: CloudFixture, fields: Any) -> None:
    with pytest.raises(
        exceptions.Forbidden, match=r"'iam\.serviceaccounts\.actAs' denied on .* notebook-builder@"
    ):
        cloud_fixture.begin("notebook-deployer", **fields)


def test_a_name_that_is_taken_ends_the_operation(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create()
    operation = cloud_fixture.begin()
    with pytest.raises(exceptions.AlreadyExists, match="already exists"):
        result(operation)
    assert cloud_fixture.get() == made


def test_one_operation_at_a_time(cloud_fixture: CloudFixture) -> None:
    operation = cloud_fixture.begin()
    with pytest.raises(exceptions.Conflict, match="unable to queue the operation"):
        cloud_fixture.client().delete_function(name=FUNCTION)
    assert cloud_fixture.get().state.name == DEPLOYING
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
def test_a_source_that_does_not_build(cloud_fixture: CloudFixture, files: Any, words: str) -> None:
    operation = cloud_fixture.begin(build_config__source={"storage_source": cloud_fixture.upload(files)})
    with pytest.raises(exceptions.InvalidArgument, match="Build failed with status: FAILURE") as told:
        result(operation)
    assert words in str(told.value)
    left = cloud_fixture.get()
    assert left.state.name == FAILED
    assert words in left.state_messages[0].message


def test_a_source_that_was_never_uploaded(cloud_fixture: CloudFixture) -> None:
    offer = cloud_fixture.client().generate_upload_url(request={"parent": REGION})
    operation = cloud_fixture.begin(build_config__source={"storage_source": offer.storage_source})
    with pytest.raises(exceptions.InvalidArgument, match="failed to fetch the source gs://gcf-v2-uploads"):
        result(operation)


def test_an_entry_point_that_is_not_there_and_its_repair(cloud_fixture: CloudFixture) -> None:
    operation = cloud_fixture.begin(build_config__entry_point="nope")
    with pytest.raises(exceptions.InvalidArgument, match="Container Healthcheck failed") as told:
        result(operation)
    assert "expected to contain a function named 'nope'" in str(told.value)
    left = cloud_fixture.get()
    assert left.state.name == FAILED
    assert "named 'nope'" in left.state_messages[0].message
    assert cloud_fixture.call("GET", f"/v2/{SERVICE}:getIamPolicy").status_code == 404
    with pytest.raises(exceptions.AlreadyExists):
        result(cloud_fixture.begin())

    result(cloud_fixture.patch("build_config.entry_point", build_config__entry_point="go"))

    repaired = cloud_fixture.get()
    assert repaired.state.name == ACTIVE
    assert not repaired.state_messages
    cloud_fixture.bind()
    cloud_fixture.publish()
    cloud_fixture.await_events(1)


def test_a_failed_update_leaves_the_old_revision_serving(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create()
    cloud_fixture.bind()
    source = {
        "storage_source": cloud_fixture.upload(
            {"main.py": "raise SystemExit('broken')", "requirements.txt": REQUIREMENTS}
        )
    }
    with pytest.raises(exceptions.InvalidArgument, match="broken"):
        result(cloud_fixture.patch("build_config.source", build_config__source=source))

    assert cloud_fixture.get() == made
    cloud_fixture.publish()
    (line,) = cloud_fixture.await_events(1)
    assert line["env"]["K_REVISION"] == made.service_config.revision


def test_an_update_serves_the_new_source(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create()
    cloud_fixture.bind()
    files = {"main.py": MAIN.replace('"got"', '"got", "version": 2'), "requirements.txt": REQUIREMENTS}
    source = {"storage_source": cloud_fixture.upload(files)}

    changed = result(cloud_fixture.patch("build_config.source", build_config__source=source))

    assert changed.service_config.revision != made.service_config.revision
    assert changed.event_trigger == made.event_trigger
    assert changed.create_time == made.create_time
    cloud_fixture.publish()
    assert cloud_fixture.await_events(1)[0]["version"] == 2


def test_a_mask_changes_its_fields_and_replaces_whole_messages(
    cloud_fixture: CloudFixture,
) -> None:
    cloud_fixture.create(
        service_config__timeout_seconds=120, service_config__environment_variables={"A": "1"}
    )

    narrow = result(
        cloud_fixture.patch("service_config.available_memory", service_config__available_memory="2Gi")
    )
    assert narrow.service_config.timeout_seconds == 120
    assert narrow.service_config.available_memory == "2Gi"

    account = email("notebook-function")
    whole = result(cloud_fixture.patch("service_config", service_config__service_account_email=account))
    assert whole.service_config.timeout_seconds == 60
    assert whole.service_config.available_memory == "256M"
    assert whole.service_config.max_instance_count == 100
    assert not whole.service_config.environment_variables
    assert whole.event_trigger.pubsub_topic == TOPIC


def test_no_mask_means_all_fields(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create(description="old", labels={"team": "news"})
    fields = cloud_fixture.function()
    changed = result(cloud_fixture.patch("", **fields))
    assert changed.description == ""
    assert not changed.labels
    with pytest.raises(exceptions.BadRequest, match=r"build_config\.runtime is required"):
        cloud_fixture.patch("", description="only this")


@pytest.mark.parametrize("mask", [["description"], []], ids=["one field", "whole function"])
def test_a_function_that_was_read_can_be_changed_and_sent_back(
    cloud_fixture: CloudFixture, mask: list[str]
) -> None:
    cloud_fixture.create(labels={"team": "news"}, service_config__timeout_seconds=120)
    read = cloud_fixture.get()
    assert read.url
    assert read.service_config.revision
    read.description = "new"
    request = {"function": read, "update_mask": {"paths": mask}}
    changed = result(cloud_fixture.client().update_function(request=request))
    assert (changed.description, changed.state.name) == ("new", ACTIVE)
    assert changed.service_config.revision != read.service_config.revision
    for after, before in ((changed, read), (cloud_fixture.get(), changed)):
        assert after.labels == before.labels
        assert after.build_config.runtime == before.build_config.runtime
        assert after.service_config.timeout_seconds == 120
        assert after.event_trigger == before.event_trigger


@pytest.mark.parametrize("mask", ["state", "name", "build_config.colour", "environment", "description.x"])
def test_masks_that_name_nothing(cloud_fixture: CloudFixture, mask: str) -> None:
    cloud_fixture.create()
    answer = cloud_fixture.call("PATCH", f"/v2/{FUNCTION}?updateMask={mask}", {"description": "x"})
    assert answer.status_code == 400
    assert mask in answer.json()["error"]["message"]


def test_another_topic_means_another_trigger(cloud_fixture: CloudFixture) -> None:
    made = cloud_fixture.create()
    other = f"{TOPIC}-2"
    cloud_fixture.topic(other)
    changed = result(cloud_fixture.patch("event_trigger.pubsub_topic", event_trigger__pubsub_topic=other))
    assert changed.event_trigger.pubsub_topic == other
    assert changed.event_trigger.trigger != made.event_trigger.trigger
    (left,) = cloud_fixture.cloud.inventory()["pubsub.subscriptions"]
    assert left["topic"] == "news-2"


def test_a_deleted_function_is_gone_with_its_subscription_and_its_policy(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.create()
    cloud_fixture.bind()

    operation = cloud_fixture.client("notebook-deployer").delete_function(name=FUNCTION)
    result(operation)

    assert operation.metadata.operation_type.name == "DELETE_FUNCTION"
    with pytest.raises(exceptions.NotFound, match=f"Resource '{FUNCTION}' was not found"):
        cloud_fixture.get()
    inventory = cloud_fixture.cloud.inventory()
    assert inventory["functions"] == []
    assert inventory["pubsub.subscriptions"] == []
    assert [topic["name"] for topic in inventory["pubsub.topics"]] == ["news"]
    assert cloud_fixture.call("GET", f"/v2/{SERVICE}:getIamPolicy").status_code == 404
    with pytest.raises(exceptions.NotFound):
        cloud_fixture.client().delete_function(name=FUNCTION)

    cloud_fixture.create()
    cloud_fixture.publish()
    eventually(lambda: "was not authorized" in cloud_fixture.log())


def test_missing_functions_and_operations(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(exceptions.NotFound, match="was not found"):
        cloud_fixture.patch("description", description="x")
    answer = cloud_fixture.call("GET", f"/v2/{REGION}/operations/none")
    assert answer.status_code == 404


def test_a_planned_fault_fails_a_create(cloud_fixture: CloudFixture) -> None:
    args = {"code": "UNAVAILABLE", "message": "no luck"}
    cloud_fixture.cloud.faults.add({"method": CREATE, "action": "operation_error", "args": args})
    operation = cloud_fixture.begin()
    with pytest.raises(exceptions.ServiceUnavailable, match="no luck"):
        result(operation)
    assert cloud_fixture.get().state.name == FAILED
    assert cloud_fixture.call("GET", f"/v2/{SERVICE}:getIamPolicy").status_code == 404
    assert cloud_fixture.cloud.inventory()["faults"][0]["consumed"] == 1


def waiting(cloud_fixture: CloudFixture, until: Path) -> Any:
    """Upload a source whose start waits for a file; return where it is."""
    wait = f"import os, time\nwhile not os.path.exists({str(until)!r}):\n    time.sleep(0.01)\n"
    return {
        "storage_source": cloud_fixture.upload({"main.py": wait + MAIN, "requirements.txt": REQUIREMENTS})
    }


def delete_topic(cloud_fixture: CloudFixture) -> None:
    assert cloud_fixture.call("DELETE", f"/v1/{TOPIC}").status_code == 200


def test_a_topic_that_is_deleted_meanwhile_fails_a_create(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    operation = cloud_fixture.begin(build_config__source=waiting(cloud_fixture, tmp_path / "go"))
    delete_topic(cloud_fixture)
    (tmp_path / "go").touch()
    with pytest.raises(exceptions.NotFound, match="Creating trigger failed"):
        result(operation)
    assert cloud_fixture.get().state.name == FAILED
    assert cloud_fixture.call("GET", f"/v2/{SERVICE}:getIamPolicy").status_code == 404


def test_a_trigger_that_fails_leaves_the_old_revision_serving(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    public = {"event_trigger": None, "service_config__ingress_settings": "ALLOW_ALL"}
    made = cloud_fixture.create(build_config__entry_point="answer", **public)
    cloud_fixture.cloud.iam.policies.grant(SERVICE, "roles/run.invoker", "allUsers")
    event = cloud_fixture.function(build_config__source=waiting(cloud_fixture, tmp_path / "go"))
    operation = cloud_fixture.patch("", **event)
    delete_topic(cloud_fixture)
    (tmp_path / "go").touch()
    with pytest.raises(exceptions.NotFound, match="Creating trigger failed"):
        result(operation)
    assert cloud_fixture.get() == made
    assert requests.get(made.url, timeout=PATIENCE).json()["path"] == "/"


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_a_planned_fault_leaves_the_function_unchanged(cloud_fixture: CloudFixture, verb: str) -> None:
    made = cloud_fixture.create()
    method = f"cloudfunctions.projects.locations.functions.{verb}"
    fault = {"method": method, "action": "operation_error", "args": {"code": "INTERNAL"}}
    cloud_fixture.cloud.faults.add(fault)
    if verb == "patch":
        operation = cloud_fixture.patch("description", description="x")
    else:
        operation = cloud_fixture.client().delete_function(name=FUNCTION)
    with pytest.raises(exceptions.InternalServerError):
        result(operation)
    assert cloud_fixture.get() == made
    cloud_fixture.bind()
    cloud_fixture.publish()
    cloud_fixture.await_events(1)
