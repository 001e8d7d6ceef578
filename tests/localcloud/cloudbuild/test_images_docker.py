"""Images of a Docker engine by name, registry's digest and engine's id, in steps and in Artifact Registry."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT
from localcloud.engines.build import RunnerError
from localcloud.engines.build_docker.runner import DockerRunner, DockerWorker
from tests.localcloud.cloudbuild import test_runner_docker as engine
from tests.localcloud.cloudbuild.registry import registry
from tests.localcloud.cloudbuild.steps import Run, runs
from tests.owner import signed
from tests.patience import PATIENCE

docker, image = engine.docker, engine.image
pytestmark = engine.pytestmark

REPOSITORY = f"us-central1-docker.pkg.dev/{PROJECT}/r{uuid.uuid4().hex}"
NAME = f"{REPOSITORY}/team/notebook-builder"
API = f"projects/{PROJECT}/locations/us-central1/repositories/{REPOSITORY.rpartition('/')[2]}"


@pytest.fixture
def identity(image: str) -> Iterator[str]:
    """The engine's id of an image that was never pushed, named as in a registry."""
    docker("tag", image, f"{NAME}:1")
    docker("tag", image, f"{NAME}:2")
    yield json.loads(docker("image", "inspect", image))[0]["Id"]
    docker("rmi", f"{NAME}:1", f"{NAME}:2")


@pytest.fixture
def worker(image: str, tmp_path: Path) -> Iterator[DockerWorker]:
    (tmp_path / "build").mkdir()
    opened = DockerRunner().open(str(uuid.uuid4()), tmp_path / "build")
    yield opened
    opened.close()


@pytest.fixture
def run(worker: DockerWorker) -> Run:
    return runs(worker)


def test_an_image_that_was_never_pushed_is_found_by_its_id(
    worker: DockerWorker, run: Run, identity: str
) -> None:
    images = DockerRunner().images
    assert images.digest(f"{NAME}:1") == identity
    assert images.digest(f"{NAME}@{identity}") == identity
    assert run("echo here", image=f"{NAME}@{identity}") == (0, "here\n")
    assert run("echo here", image=f"{NAME}:1@{identity}") == (0, "here\n")
    assert worker.describe(f"{NAME}@{identity}") == f"Already have image: {NAME}@{identity}"


def test_an_image_of_a_registry_is_found_by_the_digest_that_it_has_there(run: Run, image: str) -> None:
    images = DockerRunner().images
    with registry() as served:
        name = f"{served.host}/repo/shell"
        docker("tag", image, f"{name}:1")
        docker("push", f"{name}:1")
        digest = images.digest(f"{name}:1")
        assert digest in served.stored
        assert digest != images.digest(image)
        for each in (name, "elsewhere/shell"):
            assert run("echo here", image=f"{each}@{digest}") == (0, "here\n")
        docker("rmi", f"{name}:1")


def test_another_digest_is_an_image_that_must_be_pulled(run: Run) -> None:
    gone = f"127.0.0.1:1/r/notebook-builder@sha256:{'0' * 64}"
    assert DockerRunner().images.digest(gone) is None
    assert DockerRunner().images.digest("a//b") is None
    with pytest.raises(RunnerError, match=f"image {gone} cannot be pulled"):
        run("true", image=gone)


def test_artifact_registry_shows_the_engines_images(tmp_path: Path, identity: str) -> None:
    with Cloud(tmp_path / "cloud", runner="docker") as cloud:

        def get(path: str) -> Any:
            return requests.get(
                f"{cloud.url}/v1/{API}/{path}", headers=signed(cloud.iam), timeout=PATIENCE
            ).json()

        package = f"{API}/packages/team%2Fnotebook-builder"
        version = f"{package}/versions/{identity}"
        for tag in ("1", "2"):
            name = f"packages/team%2Fnotebook-builder/tags/{tag}"
            assert get(name) == {"name": f"{API}/{name}", "version": version}
        assert get("packages/team%2Fnotebook-builder/tags/3")["error"]["code"] == 404
        assert cloud.inventory().get("schema_violations", []) == []


def test_without_an_engine_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", "false")
    with Cloud(tmp_path / "cloud", runner="docker") as cloud:
        answer = requests.get(
            f"{cloud.url}/v1/{API}/packages/p/tags/1", headers=signed(cloud.iam), timeout=PATIENCE
        )
    assert answer.status_code == 503
    assert answer.json()["error"]["message"].startswith(
        "localcloud cannot look at its images: docker images "
    )
