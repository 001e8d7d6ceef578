"""Fixtures of the function's tests: one cloud with one function for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.function.function_fixture import FunctionFixture, serve_function


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionFixture]:
    with serve_function(tmp_path_factory.mktemp("function")) as function_fixture:
        yield function_fixture


@pytest.fixture
def function_fixture(shared: FunctionFixture) -> FunctionFixture:
    """The shared cloud, with the default live.json: two notebooks with the parameters `day`, `share` and `rows`."""
    shared.begin()
    return shared
