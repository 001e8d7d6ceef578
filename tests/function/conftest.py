"""Fixtures of the function's tests: one cloud with one function for all of them, or one with other grants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.function.world import World, served


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("function")) as world:
        yield world


@pytest.fixture
def world(shared: World) -> World:
    """The shared cloud, with the usual live: two notebooks that take `day`, `share` and `rows`."""
    shared.begin()
    return shared
