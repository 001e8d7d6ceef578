"""Cloud Run's view of a function's service, and its policy."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.iam import email
from tests.localcloud.functions.conftest import SERVICE, Start, World

INVOKERS = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('trigger')}"]}


@pytest.fixture
def served(world: World) -> World:
    """Have a function."""
    world.create(service_config__environment_variables={"CITY": "Paris"}, service_config__timeout_seconds=90)
    return world


def call(world: World, verb: str, method: str = "", body: Any = None, account: str | None = None) -> Any:
    return world.call(verb, f"/v2/{SERVICE}{method}", body, account)


def test_a_service_as_google_prints_it(served: World) -> None:
    made = served.get()
    service = call(served, "GET", account="deployer").json()
    assert service["name"] == SERVICE
    assert service["uri"] == made.service_config.uri
    assert service["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert service["template"]["serviceAccount"] == email("function")
    assert service["template"]["timeout"] == "90s"
    assert service["template"]["revision"] == made.service_config.revision
    assert {"name": "CITY", "value": "Paris"} in service["template"]["containers"][0]["env"]
    assert service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_a_policy_is_read_changed_and_written_with_its_etag(served: World) -> None:
    first = call(served, "GET", ":getIamPolicy", account="deployer").json()
    assert first == {"etag": "ACAB"}
    policy = {"policy": {"bindings": [INVOKERS], "etag": first["etag"]}}
    written = call(served, "POST", ":setIamPolicy", policy, "deployer").json()
    assert written["bindings"] == [INVOKERS]
    assert call(served, "GET", ":getIamPolicy").json() == written
    late = call(served, "POST", ":setIamPolicy", policy, "deployer")
    assert late.status_code == 409
    assert late.json()["error"]["status"] == "ABORTED"


def test_a_policy_stays_over_a_restart(start: Start, served: World) -> None:
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
def test_permissions(served: World, verb: str, method: str, permission: str) -> None:
    refused = call(served, verb, method, {"policy": {}} if verb == "POST" else None, "vm")
    assert refused.status_code == 403
    assert permission in refused.json()["error"]["message"]


def test_what_the_caller_may_do_there(served: World) -> None:
    asked = {"permissions": ["run.services.get", "run.routes.invoke"]}
    assert call(served, "POST", ":testIamPermissions", asked, "trigger").json() == {}
    served.bind()
    assert call(served, "POST", ":testIamPermissions", asked, "trigger").json() == {
        "permissions": ["run.routes.invoke"]
    }


def test_a_role_that_has_nothing_to_do_with_services(served: World) -> None:
    binding = {**INVOKERS, "role": "roles/pubsub.publisher"}
    answer = call(served, "POST", ":setIamPolicy", {"policy": {"bindings": [binding]}})
    assert answer.status_code == 400


def test_the_first_version_of_the_api_is_a_501_that_names_the_method(served: World) -> None:
    answer = served.call("GET", f"/v1/{SERVICE}:getIamPolicy")
    assert answer.status_code == 501
    words = "does not implement run.projects.locations.services.getIamPolicy of the API run.v1"
    assert words in answer.json()["error"]["message"]


def test_no_function_no_service(world: World) -> None:
    for verb, method in (("GET", ""), ("GET", ":getIamPolicy"), ("POST", ":setIamPolicy")):
        answer = call(world, verb, method, {} if verb == "POST" else None)
        assert answer.status_code == 404
        assert "of kind 'SERVICE' in region 'us-central1'" in answer.json()["error"]["message"]
    assert call(world, "POST", ":testIamPermissions", {"permissions": ["run.services.get"]}).json() == {}
    assert call(world, "DELETE").status_code == 501
