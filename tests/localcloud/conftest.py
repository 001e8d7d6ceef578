"""Fixtures for tests of the whole local cloud."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import Cloud


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests, and begin with the one that takes minutes: as the last one, it would run alone."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.test_all)
    items.sort(key=lambda item: item.path != Path(__file__).with_name("test_setup.py"))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Run a local cloud on a directory of its own; its own bugs fail the test."""
    with Cloud(tmp_path / "state") as running:
        yield running
        inventory = running.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
