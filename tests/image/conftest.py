"""Fixtures of the tests of the built image: an engine, and a local cloud in a network of its own.

They are collected only where they are asked for by name (`make image-test`): what they need, not every machine has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.closed_cloud import ClosedCloud
from tests.image.engine import Engine
from tests.image.steps import Steps

IMAGE = os.environ.get("IMAGE", "notebook-builder:dev")
HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder alone in a run of all tests."""
    base = config.invocation_params.dir
    named = [(base / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine, which has the image; all that the tests made in it is gone at the end."""
    if os.geteuid() != 0:
        pytest.exit("make image-test needs root: it enters the network of a container", returncode=2)
    made = Engine(os.environ.get("DOCKER", "docker"))
    if problem := made.problem(IMAGE):
        pytest.exit(problem, returncode=2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The image's name."""
    return IMAGE


@pytest.fixture(scope="session")
def cloud(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClosedCloud]:
    """One local cloud for all tests, in a network where there is nothing else."""
    made = ClosedCloud(engine, image, tmp_path_factory.mktemp("cloud"))
    try:
        made.start()
        yield made
        inventory = made.inventory()
        assert inventory["compute.instances"] == []
        assert inventory.get("schema_violations", []) == []
        assert inventory.get("internal_errors", []) == []
    finally:
        made.close()


@pytest.fixture
def steps(engine: Engine, cloud: ClosedCloud, image: str) -> Steps:
    """Runs the image as steps of a build on that cloud."""
    return Steps(engine, image, network=cloud.network, variables=cloud.step_variables())


@pytest.fixture
def closed_steps(engine: Engine, image: str) -> Steps:
    """Runs the image as a step that reaches nothing at all."""
    return Steps(engine, image, network="none", variables={})
