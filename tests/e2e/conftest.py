"""Fixtures of the end-to-end tests: a local cloud, a git repo, and the builder on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from localcloud.profile import GRANTS
from tests.e2e.builder_process import BUCKET, Builder, Repo
from tests.e2e.deploying import Deployer, Proven, prove
from tests.e2e.shared_run import FRUGAL, common_folder, once
from tests.granting import UNDEPLOYED, granting


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One local cloud for all tests of a worker; tests that move its clock or break it make their own."""
    with Cloud(
        tmp_path_factory.mktemp("cloud"), buckets=[BUCKET], profile=granting([*GRANTS, *UNDEPLOYED, *FRUGAL])
    ) as cloud:
        yield cloud
        assert cloud.inventory().get("schema_violations", []) == []


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A local cloud for one test alone."""
    grants = granting([*GRANTS, *UNDEPLOYED])
    with Cloud(tmp_path / "cloud", buckets=[BUCKET], profile=grants) as cloud:
        yield cloud
        inventory = cloud.inventory()
        assert inventory.get("schema_violations", []) == []
        unused = [fault for fault in inventory["faults"] if not fault["consumed"]]
        assert unused == [], "planned faults that no call met"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty git repo."""
    folder = tmp_path / "repo"
    folder.mkdir()
    made = Repo(folder)
    made.git("init", "--quiet", "--initial-branch=main")
    return made


@pytest.fixture
def builder(shared_cloud: Cloud, repo: Repo) -> Iterator[Builder]:
    """The builder in the test's repo on the shared cloud; nothing of its VMs may be left at the end."""
    made = Builder(shared_cloud, repo.folder)
    yield made
    assert [name for name in made.left() if name.startswith("nb-")] == []


@pytest.fixture
def own_builder(own_cloud: Cloud, repo: Repo) -> Builder:
    """The builder in the test's repo on a cloud of the test's own."""
    return Builder(own_cloud, repo.folder)


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Proven:
    """A notebook that a run found green, and the cloud that knows it, at rest; made once for all workers."""
    folder = common_folder(tmp_path_factory) / "proven"
    once(tmp_path_factory, "proven-run", lambda: prove(folder))
    return Proven(folder)


@pytest.fixture
def deployer(proven: Proven, tmp_path: Path) -> Iterator[Deployer]:
    """The branch that deploys what was proven, on a cloud for one test alone, which may not be found mistaken."""
    with proven.copied(tmp_path / "proven") as made:
        yield made
