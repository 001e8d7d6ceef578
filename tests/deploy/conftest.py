"""Fixtures of the tests of deploying: a whole local cloud for each test, and the doors to it as the deployer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.storage import pace
from tests.deploy.place import Place, opened
from tests.deploy.shop import Shop


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks are moved here, and Cloud Storage lets an object be written once a real second."""
    monkeypatch.setattr(pace, "_BURST", 10_000.0)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with opened(tmp_path / "cloud") as made:
        yield made


@pytest.fixture
def shop(place: Place, tmp_path: Path) -> Shop:
    return Shop(place, tmp_path / "shop")
