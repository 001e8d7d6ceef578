"""What tests of the whole local cloud share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Run a local cloud on a directory of its own; its own bugs fail the test."""
    with Cloud(tmp_path / "state") as running:
        yield running
        inventory = running.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
