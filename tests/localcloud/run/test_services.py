"""The policy of a function's Cloud Run service."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.iam import email
from tests.localcloud.functions.conftest import SERVICE, CloudFixture, Start

INVOKERS = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('notebook-trigger')}"]}


@pytest.fixture
def served(cloud_fixture: CloudFixture) -> CloudFixture:
    """Make a function."""
    cloud_fixture.create()
    return cloud_fixture


def call(
    cloud_fixture: CloudFixture, verb: str, method: str = "", body: Any = None, account: str | None = None
) -> Any:
    return cloud_fixture.call(verb, f"/v2/{SERVICE}{method}", body, account)


def test_a_policy_stays_over_a_restart(start: Start, served: CloudFixture) -> None:
    served.bind()
    again = start()
    assert call(again, "GET", ":getIamPolicy").json()["bindings"] == [INVOKERS]
    again.publish()
    again.await_events(1)


@pytest.mark.parametrize(
    ("verb", "method", "permission"),
    [
        pytest.param("GET", ":getIamPolicy", "run.services.getIamPolicy", id="getIamPolicy"),
        pytest.param("POST", ":setIamPolicy", "run.services.setIamPolicy", id="setIamPolicy"),
    ],
)
def test_permissions(served: CloudFixture, verb: str, method: str, permission: str) -> None:
    refused = call(served, verb, method, {"policy": {}} if verb == "POST" else None, "notebook-vm")
    assert refused.status_code == 403
    assert permission in refused.json()["error"]["message"]


def test_no_function_no_service(cloud_fixture: CloudFixture) -> None:
    for verb, method in (("GET", ":getIamPolicy"), ("POST", ":setIamPolicy")):
        answer = call(cloud_fixture, verb, method, {} if verb == "POST" else None)
        assert answer.status_code == 404
        assert "of kind 'SERVICE' in region 'us-central1'" in answer.json()["error"]["message"]
    assert (
        call(cloud_fixture, "POST", ":testIamPermissions", {"permissions": ["run.services.get"]}).json() == {}
    )
    for verb in ("GET", "DELETE"):
        assert call(cloud_fixture, verb).status_code == 501
