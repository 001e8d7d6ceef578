"""The rules of a function: refusals before an operation exists, with messages that name the field."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from localcloud.cloud import Cloud
from localcloud.core.iam import EVENTARC_AGENT, FUNCTIONS_AGENT, PROJECT_NUMBER, email
from localcloud.profile import PROFILE
from tests.localcloud.functions.conftest import REGION, TOPIC, CloudFixture, archive
from tests.patience import PATIENCE

SOURCE = {"storage_source": {"bucket": f"gcf-v2-uploads-{PROJECT_NUMBER}.us-central1", "object_": "o"}}


def begin(cloud_fixture: CloudFixture, **fields: Any) -> Any:
    return cloud_fixture.begin(**{"build_config__source": SOURCE, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"build_config__runtime": None}, "build_config.runtime is required", id="no runtime"),
        pytest.param({"build_config__runtime": "nodejs22"}, "buildConfig.runtime", id="unknown runtime"),
        pytest.param(
            {"build_config__entry_point": "a-b"}, "buildConfig.entryPoint", id="entry point with a dash"
        ),
        pytest.param(
            {"build_config__service_account": email("notebook-builder")},
            "buildConfig.serviceAccount",
            id="build account as an e-mail",
        ),
        pytest.param(
            {"build_config__source": {}}, "storage_source needs a bucket and an object", id="empty source"
        ),
        pytest.param(
            {"event_trigger__event_type": None}, "event_trigger.event_type is required", id="no event type"
        ),
        pytest.param(
            {"event_trigger__pubsub_topic": "news"}, "eventTrigger.pubsubTopic", id="topic by its short name"
        ),
        pytest.param(
            {"event_trigger__pubsub_topic": f"{TOPIC}-none"},
            "there is no topic",
            id="topic that does not exist",
        ),
        pytest.param(
            {"event_trigger__service_account_email": "nobody@example.com"},
            "eventTrigger.serviceAccountEmail",
            id="trigger account that does not exist",
        ),
        pytest.param({"labels": {"Team": "news"}}, "labels", id="label in upper case"),
        pytest.param({"description": "x" * 2049}, "description", id="description too long"),
        pytest.param({"name": f"{REGION}/functions/other"}, "function.name", id="name of another function"),
    ],
)
def test_refused(cloud_fixture: CloudFixture, fields: Any, words: str) -> None:
    with pytest.raises(exceptions.BadRequest) as told:
        begin(cloud_fixture, **fields)
    assert words in str(told.value)
    assert cloud_fixture.cloud.inventory()["functions"] == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"kms_key_name": "k"}, "kmsKeyName", id="KMS key"),
        pytest.param({"environment": 1}, "environment: GEN_1", id="first generation"),
        pytest.param({"build_config__worker_pool": "p"}, "buildConfig.workerPool", id="worker pool"),
        pytest.param(
            {"build_config__environment_variables": {"A": "b"}},
            "buildConfig.environmentVariables",
            id="build variables",
        ),
        pytest.param(
            {"build_config__source": {"git_uri": "x"}}, "buildConfig.source.gitUri", id="source in Git"
        ),
        pytest.param(
            {"build_config__source": {"storage_source": {"bucket": "b", "object_": "o"}}},
            "storageSource.bucket",
            id="source in another bucket",
        ),
        pytest.param({"service_config__available_cpu": "1"}, "serviceConfig.availableCpu", id="processors"),
        pytest.param(
            {"service_config__max_instance_request_concurrency": 2},
            "maxInstanceRequestConcurrency: above 1",
            id="concurrency",
        ),
        pytest.param(
            {"service_config__vpc_connector": "c"}, "serviceConfig.vpcConnector", id="VPC connector"
        ),
        pytest.param(
            {"service_config__secret_environment_variables": [{"key": "A"}]},
            "secretEnvironmentVariables",
            id="secret variables",
        ),
        pytest.param(
            {"event_trigger__pubsub_topic": None}, "eventTrigger.pubsubTopic", id="event without a topic"
        ),
        pytest.param(
            {"event_trigger__trigger_region": "us-east1"},
            "eventTrigger.triggerRegion",
            id="trigger in another region",
        ),
        pytest.param(
            {"event_trigger__event_type": "google.cloud.storage.object.v1.finalized"},
            "eventType",
            id="event of Cloud Storage",
        ),
        pytest.param({"event_trigger__channel": "c"}, "eventTrigger.channel", id="channel"),
    ],
)
def test_function_fields_that_are_not_covered_are_a_501_that_names_them(
    cloud_fixture: CloudFixture, fields: Any, words: str
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented) as told:
        begin(cloud_fixture, **fields)
    assert words in str(told.value)


@pytest.mark.parametrize(
    "function_id",
    ["", "abc", "Nightly", "9lives", "ends-", "a" * 64],
    ids=["empty", "too short", "upper case", "leading digit", "trailing dash", "too long"],
)
def test_ids(cloud_fixture: CloudFixture, function_id: str) -> None:
    answer = cloud_fixture.call("POST", f"/v2/{REGION}/functions?functionId={function_id}", {})
    assert answer.status_code == 400
    assert "Invalid function id" in answer.json()["error"]["message"]


def test_a_location_that_is_none(cloud_fixture: CloudFixture) -> None:
    path = f"/v2/{REGION.replace('us-central1', 'mars-west1')}/functions/nightly"
    answer = cloud_fixture.call("GET", path)
    assert answer.status_code == 403
    assert "locations/mars-west1" in answer.json()["error"]["message"]


def test_upload_urls(cloud_fixture: CloudFixture) -> None:
    offer = cloud_fixture.client("notebook-deployer").generate_upload_url(request={"parent": REGION})
    assert offer.storage_source.bucket.startswith("gcf-v2-uploads-")
    zipped = {"content-type": "application/zip"}

    def put(url: str, headers: Any, verb: str = "PUT") -> int:
        return requests.request(
            verb, url, data=archive({"main.py": ""}), headers=headers, timeout=PATIENCE
        ).status_code

    token = cloud_fixture.cloud.iam.token(email("notebook-deployer"))[0]
    assert put(offer.upload_url, {"content-type": "text/plain"}) == 403
    assert put(offer.upload_url, zipped | {"Authorization": f"Bearer {token}"}) == 400
    assert put(offer.upload_url[:-1], zipped) == 403
    assert put(offer.upload_url.replace(".zip", "x.zip"), zipped) == 404
    assert put(offer.upload_url, zipped, "POST") == 405
    assert put(offer.upload_url, zipped) == 200
    cloud_fixture.cloud.faults.add(
        {"method": "cloudfunctions.upload", "action": "error", "args": {"status": 503}}
    )
    assert put(offer.upload_url, zipped) == 503
    cloud_fixture.cloud.clock.advance(3600)
    assert put(offer.upload_url, zipped) == 400


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Callable[..., CloudFixture]]:
    """Start a cloud whose profile differs, with the topic."""
    with contextlib.ExitStack() as stack:

        def start(**changes: Any) -> CloudFixture:
            cloud = stack.enter_context(Cloud(tmp_path / "state", profile=replace(PROFILE, **changes)))
            made = CloudFixture(cloud)
            made.topic()
            return made

        yield start


def test_without_eventarc_s_own_account_the_create_call_is_refused(
    changed: Callable[..., CloudFixture],
) -> None:
    grants = tuple(grant for grant in PROFILE.grants if grant.account != EVENTARC_AGENT)
    assert len(grants) < len(PROFILE.grants)
    fixture = changed(grants=grants)
    with pytest.raises(exceptions.BadRequest, match="Validation failed for trigger projects/") as refused:
        begin(fixture)
    assert "Permission denied while using the Eventarc Service Agent" in refused.value.message
    assert fixture.cloud.inventory()["functions"] == []


def test_without_cloud_functions_own_account_the_create_call_is_refused(
    changed: Callable[..., CloudFixture],
) -> None:
    grants = tuple(grant for grant in PROFILE.grants if grant.account != FUNCTIONS_AGENT)
    assert len(grants) < len(PROFILE.grants)
    fixture = changed(grants=grants)
    with pytest.raises(
        exceptions.Forbidden, match="Unable to retrieve the repository metadata for projects/"
    ):
        begin(fixture)
    assert fixture.cloud.inventory()["functions"] == []


@pytest.mark.parametrize("service", ["run", "cloudbuild", "eventarc"])
def test_a_function_needs_other_services_too(changed: Callable[..., CloudFixture], service: str) -> None:
    fixture = changed(services=PROFILE.services - {f"{service}.googleapis.com"})
    with pytest.raises(exceptions.Forbidden) as refused:
        begin(fixture)
    assert refused.value.reason == "SERVICE_DISABLED"
    assert refused.value.metadata["service"] == f"{service}.googleapis.com"
