"""The builder's account, of which a build asks the metadata server: under transient faults, and under a lasting one."""

from __future__ import annotations

import pytest
from google.auth import compute_engine
from google.auth.compute_engine import _metadata
from google.auth.exceptions import TransportError

from builder.gcp.clients import CALL_BUDGET, Access
from builder.gcp.project import GoogleProject
from builder.ports import CallFailed
from localcloud.core.iam import PROJECT, email
from tests.integration.cloud_fixture import CloudFixture

BUILDER = email("notebook-builder")


class MetadataServer:
    """Takes the place of Google's client of the metadata server: refuses so many calls, then answers."""

    def __init__(self, faults: int) -> None:
        self.faults, self.calls = faults, 0

    def get(self, _request: object, path: str) -> str:
        assert path == "instance/service-accounts/default/email"
        self.calls += 1
        if self.calls <= self.faults:
            raise TransportError("the metadata server does not answer")
        return BUILDER


def project(cloud_fixture: CloudFixture, server: MetadataServer, patch: pytest.MonkeyPatch) -> GoogleProject:
    """The client of a build, whose credentials are those of its machine."""
    patch.setattr(_metadata, "get", server.get)
    return GoogleProject(Access(compute_engine.Credentials(), PROJECT, {}), cloud_fixture.time)


def test_transient_faults_of_the_metadata_server_are_not_noticed(
    cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MetadataServer(faults=3)
    assert project(cloud_fixture, server, monkeypatch).caller() == BUILDER
    assert server.calls == 4


def test_a_metadata_server_that_never_answers_ends_with_the_budget(
    cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MetadataServer(faults=10_000)
    started = cloud_fixture.time.monotonic()
    with pytest.raises(CallFailed, match="does not answer") as caught:
        project(cloud_fixture, server, monkeypatch).caller()
    assert caught.value.call == "metadata"
    assert caught.value.transient
    assert CALL_BUDGET - 25 < cloud_fixture.time.monotonic() - started < CALL_BUDGET + 5
