"""Fixtures of the tests that deploy: a local cloud for each test, and a deployment on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.services.storage import pace
from tests.deploy.cloud_fixture import CloudFixture, serve_cloud
from tests.deploy.deployment_fixture import DeploymentFixture


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift Cloud Storage's limit of one write per object and real second, since these tests move the clock."""
    monkeypatch.setattr(pace, "_BURST", 10_000.0)


@pytest.fixture
def cloud_fixture(tmp_path: Path) -> Iterator[CloudFixture]:
    with serve_cloud(tmp_path / "cloud") as made:
        yield made


@pytest.fixture
def deployment_fixture(cloud_fixture: CloudFixture, tmp_path: Path) -> DeploymentFixture:
    return DeploymentFixture(cloud_fixture, tmp_path / "shop")
