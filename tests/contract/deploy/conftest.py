"""Fixtures of the tests of deploying: a whole local cloud for each test, and the doors to it as the deployer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.deploy.place import Place, opened


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with opened(tmp_path / "cloud") as made:
        yield made
