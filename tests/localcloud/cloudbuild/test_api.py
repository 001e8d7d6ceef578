"""The Cloud Build API by Google's client: names, locations, refusals, permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, NotFound
from google.cloud.devtools import cloudbuild_v1

from localcloud.core.iam import PROJECT, email
from localcloud.services.cloudbuild.views import operation_name
from tests.localcloud.cloudbuild.cloud_fixture import REGION, CloudFixture, Json, one

NUMBER = "123456789012"
BUILDS = f"projects/{PROJECT}/builds"
REGIONAL = f"projects/{PROJECT}/locations/{REGION}/builds"
MANY_WRONG = {
    "steps": [{"name": "ubuntu", "script": "x", "args": ["y"]}, {"name": "bash", "env": ["A"]}],
    "tags": ["a b"],
}


@pytest.mark.parametrize("location", ["global", REGION])
def test_create_answers_an_operation_with_the_build(cloud_fixture: CloudFixture, location: str) -> None:
    operation = cloud_fixture.create(one("true"), location=location)
    begun = operation.metadata.build
    assert begun.status == cloudbuild_v1.Build.Status.QUEUED
    assert operation.operation.name == operation_name(location, begun.id)
    status, error = cloud_fixture.rest("GET", operation.operation.name)
    assert (status, "operations.get" in error["message"]) == (501, True)


def test_fields_of_a_build(cloud_fixture: CloudFixture) -> None:
    build = cloud_fixture.run(
        one("true", tags=["a", "$_EMPTY"], substitutions={"_EMPTY": ""}), location=REGION
    )
    assert build["name"] == f"projects/{NUMBER}/locations/{REGION}/builds/{build['id']}"
    assert build["projectId"] == PROJECT
    assert build["tags"] == ["a"]
    assert (build["timeout"], build["queueTtl"]) == ("3600s", "3600s")
    assert build["serviceAccount"] == f"projects/{PROJECT}/serviceAccounts/{email('notebook-deployer')}"
    assert build["logUrl"].endswith(f"/builds;region={REGION}/{build['id']}?project={NUMBER}")
    assert build["logsBucket"].startswith("gs://")
    assert build["createTime"] <= build["startTime"] <= build["finishTime"]
    assert build["finishTime"].endswith("Z")
    assert "statusDetail" not in build
    assert "exitCode" not in build["steps"][0]  # zero, as Google's JSON has it


def test_a_regional_build_is_not_a_global_one(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    here, there = cloud_fixture.start(one("true")), cloud_fixture.start(one("true"), location=REGION)
    name = f"projects/{NUMBER}/locations/{REGION}/builds/{there}"
    assert client.get_build(name=name).id == there
    assert client.get_build(project_id=PROJECT, id=here).name.split("/")[3] == "global"
    with pytest.raises(NotFound, match="Requested entity was not found"):
        client.get_build(project_id=PROJECT, id=there)
    assert [build.id for build in client.list_builds(project_id=PROJECT)] == [here]
    parent = f"projects/{PROJECT}/locations/{REGION}"
    assert [build.id for build in client.list_builds(request={"parent": parent})] == [there]
    assert list(client.list_builds(request={"parent": f"projects/{PROJECT}/locations/europe-west1"})) == []


def test_the_client_sends_enums_as_numbers(cloud_fixture: CloudFixture) -> None:
    account = f"projects/{PROJECT}/serviceAccounts/{email('notebook-builder')}"
    build = cloud_fixture.run(one("true", serviceAccount=account, options={"logging": "CLOUD_LOGGING_ONLY"}))
    assert build["status"] == "SUCCESS"
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_all_faults_are_reported_at_once(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(BadRequest) as caught:
        cloud_fixture.create(MANY_WRONG)
    words = caught.value.message
    assert words.count("invalid build: ") == 1
    assert words.count("; ") >= 2
    for part in ("both script and args provided", 'must be of the form "KEY=VALUE"', 'tag "a b"'):
        assert part in words
    assert cloud_fixture.service.inventory() == {"builds": []}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        pytest.param(
            one("echo $_X"),
            'key in the template "_X" is not matched in the substitution data',
            id="variable without a value",
        ),
        pytest.param(
            one("true", substitutions={"_X": "1"}),
            'key "_X" in the substitution data is not matched',
            id="value without a variable",
        ),
        pytest.param(
            one("echo $_A", substitutions={"_A": "x" * 4000}, tags=["$_A"]),
            "invalid build tag",
            id="tag too long",
        ),
        pytest.param(
            one("true", source={"storageSource": {"bucket": "b"}}),
            "storage_source must specify object",
            id="source without an object",
        ),
    ],
)
def test_builds_that_google_refuses_too(cloud_fixture: CloudFixture, build: Json, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        cloud_fixture.create(build)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("field", "build"),
    [
        pytest.param(
            "source.repoSource", one("true", source={"repoSource": {"repoName": "x"}}), id="source.repoSource"
        ),
        pytest.param(
            "source.gitSource", one("true", source={"gitSource": {"url": "x"}}), id="source.gitSource"
        ),
        pytest.param(
            "secrets", one("true", secrets=[{"kmsKeyName": "k", "secretEnv": {"A": "eA=="}}]), id="secrets"
        ),
        pytest.param(
            "availableSecrets.inline",
            one("true", availableSecrets={"inline": [{"kmsKeyName": "k", "envMap": {"A": "eA=="}}]}),
            id="availableSecrets.inline",
        ),
        pytest.param(
            "artifacts.pythonPackages",
            one("true", artifacts={"pythonPackages": [{"paths": ["x"]}]}),
            id="artifacts.pythonPackages",
        ),
        pytest.param(
            "options.pool",
            one("true", options={"pool": {"name": f"projects/p/locations/{REGION}/workerPools/w"}}),
            id="options.pool",
        ),
        pytest.param(
            "artifacts.objects",
            one("true", artifacts={"objects": {"location": "gs://b"}}),
            id="artifacts.objects",
        ),
        pytest.param(
            "options.volumes",
            one("true", options={"volumes": [{"name": "v", "path": "/v"}]}),
            id="options.volumes",
        ),
        pytest.param("logsBucket", one("true", logsBucket="gs://b"), id="logsBucket"),
        pytest.param(
            "substitutions._A",
            one("echo $_A", substitutions={"_A": "${_A^^}"}, options={"dynamicSubstitutions": True}),
            id="dynamic substitution",
        ),
        pytest.param(
            "steps[0].allowExitCodes",
            {"steps": [{"name": "ubuntu", "allowExitCodes": [1]}]},
            id="steps.allowExitCodes",
        ),
        pytest.param(
            "steps[0].results",
            {"steps": [{"name": "ubuntu", "results": [{"name": "r"}]}]},
            id="steps.results",
        ),
    ],
)
def test_a_field_that_is_not_covered_is_a_501_that_names_it(
    cloud_fixture: CloudFixture, field: str, build: Json
) -> None:
    status, error = cloud_fixture.rest("POST", BUILDS, build)
    assert status == 501
    assert error["message"].startswith(f"localcloud does not implement build.{field}: ")


def test_fields_that_only_google_sets_are_ignored(cloud_fixture: CloudFixture) -> None:
    build = one("true", status="SUCCESS", id="mine", results={"numArtifacts": "1"})
    build["steps"][0] |= {"status": "FAILURE", "exitCode": 1}
    status, operation = cloud_fixture.rest("POST", REGIONAL, build)
    shown = operation["metadata"]["build"]
    assert (status, shown["status"]) == (200, "QUEUED")
    assert shown["id"] != "mine"
    assert "results" not in shown
    assert not shown["steps"][0].keys() & {"status", "exitCode"}


def test_null_is_not_set(cloud_fixture: CloudFixture) -> None:
    """64-bit numbers may be numbers."""
    options = {"diskSizeGb": 100, "machineType": None}
    step = {"name": "ubuntu", "args": ["true"], "env": None, "id": None}
    build = {"steps": [step], "tags": None, "source": None, "timeout": None, "options": options}
    status, operation = cloud_fixture.rest("POST", BUILDS, build)
    assert status == 200
    shown = operation["metadata"]["build"]
    assert (shown["options"], shown["timeout"]) == ({"diskSizeGb": "100"}, "3600s")
    assert shown["steps"] == [{"name": "ubuntu", "args": ["true"]}]


def test_an_unknown_runner_is_refused(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(BadRequest, match="localcloud has no runner 'podman'; there are process"):
        cloud_fixture.create(one("true"), runner="podman")


def test_places_that_are_not_ours(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    with pytest.raises(Forbidden, match="Permission denied on resource project other"):
        client.list_builds(project_id="other")
    with pytest.raises(Forbidden, match="Permission denied on 'locations/nowhere'"):
        client.list_builds(request={"parent": f"projects/{PROJECT}/locations/nowhere"})


Ask = Callable[[Any], object]
CALLS: dict[str, Ask] = {
    "create": lambda client: client.create_build(project_id=PROJECT, build={"steps": [{"name": "bash"}]}),
    "get": lambda client: client.get_build(project_id=PROJECT, id="x"),
    "list": lambda client: client.list_builds(project_id=PROJECT),
    "update": lambda client: client.cancel_build(project_id=PROJECT, id="x"),
}


@pytest.mark.parametrize(
    ("account", "permission"),
    [(account, permission) for account in ("notebook-vm", "notebook-trigger") for permission in CALLS]
    + [("notebook-builder", "create"), ("notebook-builder", "list"), ("notebook-builder", "update")]
    + [("notebook-deployer", "create"), ("notebook-deployer", "update")],
)
def test_accounts_without_rights(cloud_fixture: CloudFixture, account: str, permission: str) -> None:
    with pytest.raises(Forbidden, match=f"Permission 'cloudbuild.builds.{permission}' denied"):
        CALLS[permission](cloud_fixture.client(account))


def test_the_function_may_submit_builds_that_run_as_the_scheduler(cloud_fixture: CloudFixture) -> None:
    account = f"projects/{PROJECT}/serviceAccounts/{email('notebook-scheduler')}"
    build = one("true", serviceAccount=account, options={"logging": "NONE"})
    build_id = cloud_fixture.start(build, account="notebook-function")
    client = cloud_fixture.client("notebook-function")
    assert client.get_build(project_id=PROJECT, id=build_id).id == build_id
    assert [build.id for build in client.list_builds(project_id=PROJECT)] == [build_id]
    assert cloud_fixture.ended(build_id)["status"] == "SUCCESS"
    assert cloud_fixture.client("notebook-deployer").get_build(project_id=PROJECT, id=build_id).id == build_id


def test_the_function_may_not_submit_builds_that_could_deploy(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(
        Forbidden, match=r"does not have permission to act as service account .*/notebook-deployer@"
    ):
        cloud_fixture.create(one("true"), account="notebook-function")


def test_acting_as_another_account_needs_a_grant(cloud_fixture: CloudFixture) -> None:
    account = f"projects/{PROJECT}/serviceAccounts/{email('notebook-vm')}"
    build = one("true", serviceAccount=account, options={"logging": "NONE"})
    with pytest.raises(
        Forbidden, match=r"does not have permission to act as service account .*/notebook-vm@"
    ):
        cloud_fixture.create(build, account="notebook-function")
    assert cloud_fixture.run(build)["status"] == "SUCCESS"


def test_an_account_by_its_unique_id_is_that_account(cloud_fixture: CloudFixture) -> None:
    known = cloud_fixture.iam.accounts.find(email("notebook-builder"))
    assert known is not None
    by_number = f"projects/{NUMBER}/serviceAccounts/{known['uniqueId']}"
    build = cloud_fixture.run(one("true", serviceAccount=by_number, options={"logging": "NONE"}))
    assert (build["status"], build["serviceAccount"]) == ("SUCCESS", known["name"])


def test_an_account_of_another_project_is_not_ours(cloud_fixture: CloudFixture) -> None:
    account = f"projects/other/serviceAccounts/{email('notebook-builder')}"
    with pytest.raises(Forbidden, match="to act as service account projects/other/"):
        cloud_fixture.create(one("true", serviceAccount=account, options={"logging": "NONE"}))


def test_an_account_must_exist(cloud_fixture: CloudFixture) -> None:
    account = f"projects/{PROJECT}/serviceAccounts/nobody@{PROJECT}.iam.gserviceaccount.com"
    with pytest.raises(NotFound, match=r"nobody@.* was not found"):
        cloud_fixture.create(one("true", serviceAccount=account, options={"logging": "NONE"}))


def test_log_route(cloud_fixture: CloudFixture) -> None:
    build_id = cloud_fixture.run(one("echo hello"))["id"]
    whole, complete = cloud_fixture.service.log(build_id, 0)
    assert complete
    assert cloud_fixture.service.log(build_id, len(whole) - 5) == (b"DONE\n", True)
    route = f"/_localcloud/builds/{build_id}/log"
    assert cloud_fixture.rest("GET", f"{route}?offset=x")[0] == 400
    assert cloud_fixture.rest("GET", "/_localcloud/builds/none/log")[0] == 404
