"""Fixtures of the contract tests: one Cloud Storage per worker, all else new for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import kit
from builder.kit import CPYTHONS, UV, Kit, write_index
from builder.plan.make import Plan
from localcloud.clock import Clock
from localcloud.faults import FaultPlan
from localcloud.iam import Iam
from localcloud.storage import StorageService
from tests.contract.world import BUCKET, World, opened


@pytest.fixture(scope="session")
def identities() -> Iam:
    return Iam()


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory, identities: Iam) -> Iterator[StorageService]:
    clock = Clock()
    service = StorageService(tmp_path_factory.mktemp("storage"), clock, identities, FaultPlan())
    service.create_bucket(BUCKET)
    yield service
    service.close()
    clock.close()


@pytest.fixture
def world(tmp_path: Path, storage: StorageService, identities: Iam) -> Iterator[World]:
    with opened(tmp_path / "cloud", storage, identities) as made:
        yield made


@pytest.fixture
def plan(world: World, tmp_path: Path) -> Plan:
    """One job for one zone, everything else by default."""
    return world.plan(tmp_path / "repo")


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
