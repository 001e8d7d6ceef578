"""Cloud Run's view of a function's service, and its policy."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.iam import email
from tests.localcloud.functions.conftest import SERVICE, CloudFixture, Start

INVOKERS = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('notebook-trigger')}"]}


@pytest.fixture
def served(cloud_fixture: CloudFixture) -> CloudFixture:
    """Make a function."""
    cloud_fixture.create(
        service_config__environment_variables={"CITY": "Paris"}, service_config__timeout_seconds=90
    )
    return cloud_fixture


def call(
    cloud_fixture: CloudFixture, verb: str, method: str = "", body: Any = None, account: str | None = None
) -> Any:
    return cloud_fixture.call(verb, f"/v2/{SERVICE}{method}", body, account)


def test_a_service_as_google_prints_it(served: CloudFixture) -> None:
    made = served.get()
    service = call(served, "GET", account="notebook-deployer").json()
    assert service["name"] == SERVICE
    assert service["uri"] == made.service_config.uri
    assert service["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert service["template"]["serviceAccount"] == email("notebook-function")
    assert service["template"]["timeout"] == "90s"
    assert service["template"]["revision"] == made.service_config.revision
    assert {"name": "CITY", "value": "Paris"} in service["template"]["containers"][0]["env"]
    assert service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_the_first_api_lists_the_same_services(served: CloudFixture) -> None:
    parent = f"/v1/{SERVICE.rpartition('/services/')[0].replace('us-central1', '-')}/services"
    (service,) = served.call("GET", parent).json()["items"]
    assert service["metadata"]["name"] == "nightly"
    assert service["metadata"]["labels"]["cloud.googleapis.com/location"] == "us-central1"
    assert service["status"]["url"] == served.get().service_config.uri
    assert served.call("GET", parent.replace("/-/", "/europe-west1/")).json()["items"] == []
    assert served.call("GET", parent, account="notebook-vm").status_code == 403


def test_a_policy_stays_over_a_restart(start: Start, served: CloudFixture) -> None:
    served.bind()
    again = start()
    assert call(again, "GET", ":getIamPolicy").json()["bindings"] == [INVOKERS]
    again.publish()
    again.await_events(1)


@pytest.mark.parametrize(
    ("verb", "method", "permission"),
    [
        pytest.param("GET", "", "run.services.get", id="get"),
        pytest.param("GET", ":getIamPolicy", "run.services.getIamPolicy", id="getIamPolicy"),
        pytest.param("POST", ":setIamPolicy", "run.services.setIamPolicy", id="setIamPolicy"),
    ],
)
def test_permissions(served: CloudFixture, verb: str, method: str, permission: str) -> None:
    refused = call(served, verb, method, {"policy": {}} if verb == "POST" else None, "notebook-vm")
    assert refused.status_code == 403
    assert permission in refused.json()["error"]["message"]


def test_both_versions_of_the_api_have_the_same_policy(served: CloudFixture) -> None:
    first = f"/v1/{SERVICE}"
    assert (
        served.call("POST", f"{first}:setIamPolicy", {"policy": {"bindings": [INVOKERS]}}).status_code == 200
    )
    policy = call(served, "GET", ":getIamPolicy").json()
    assert policy["bindings"] == [INVOKERS]
    assert served.call("GET", f"{first}:getIamPolicy").json() == policy
    assert served.call("GET", f"{first}:getIamPolicy", account="notebook-vm").status_code == 403


def test_the_first_version_of_the_api_is_a_501_that_names_the_method(served: CloudFixture) -> None:
    answer = served.call("DELETE", f"/v1/{SERVICE}")
    assert answer.status_code == 501
    words = "does not implement run.projects.locations.services.delete of the API run.v1"
    assert words in answer.json()["error"]["message"]


def test_no_function_no_service(cloud_fixture: CloudFixture) -> None:
    for verb, method in (("GET", ""), ("GET", ":getIamPolicy"), ("POST", ":setIamPolicy")):
        answer = call(cloud_fixture, verb, method, {} if verb == "POST" else None)
        assert answer.status_code == 404
        assert "of kind 'SERVICE' in region 'us-central1'" in answer.json()["error"]["message"]
    assert (
        call(cloud_fixture, "POST", ":testIamPermissions", {"permissions": ["run.services.get"]}).json() == {}
    )
    assert call(cloud_fixture, "DELETE").status_code == 501
