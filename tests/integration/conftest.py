"""Fixtures of the integration tests: one Cloud Storage per worker, all else new for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import kit
from builder.kit import CPYTHONS, UV, Kit
from builder.kit.build import write_index
from builder.plan.build_plan import Plan
from localcloud.core.iam import Iam
from localcloud.profile import PROFILE
from localcloud.services.registry import SPECS
from localcloud.services.storage import StorageService, pace
from tests.integration.cloud_fixture import CloudFixture, opened, opened_storage


@pytest.fixture(scope="session")
def identities() -> Iam:
    return Iam(PROFILE, SPECS)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory, identities: Iam) -> Iterator[StorageService]:
    with opened_storage(tmp_path_factory.mktemp("storage"), identities) as service:
        yield service


@pytest.fixture
def cloud_fixture(tmp_path: Path, storage: StorageService, identities: Iam) -> Iterator[CloudFixture]:
    with opened(tmp_path / "cloud", storage, identities) as made:
        yield made


@pytest.fixture
def plan(cloud_fixture: CloudFixture, tmp_path: Path) -> Plan:
    """One job for one zone, everything else by default."""
    return cloud_fixture.plan(tmp_path / "repo")


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow many writes per second: with a moved clock, the minutes between an object's writes take no time."""
    monkeypatch.setattr(pace, "_BURST", 1000.0)


@pytest.fixture(autouse=True)
def small_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A kit of a few bytes in the place of the built one: no VM unpacks it. It differs from test to test."""
    folder = tmp_path / "kit"
    folder.mkdir()
    for name in (*CPYTHONS, UV):
        (folder / f"{name}.tar.gz").write_bytes(f"kit {name} of {folder}".encode())
    small = write_index(folder)
    monkeypatch.setattr(kit, "load", lambda: small)
    return small
