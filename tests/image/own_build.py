"""This repo's own cloudbuild.yaml, as it stands, on the local Cloud Build: builds, tries and publishes the image.

`make image-submit` runs it, after `make image`: its steps reach no package index, so that the engine must have made every
stage before, of the same files and on the same base. The registry is on the loopback interface. What stands in for
Google's images is made here: for the docker client, this machine's own in the base image; no tests run in the build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.closed_cloud import ROOT
from tests.image.engine import Engine
from tests.image.registry import Registry, missing, registry

PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")
REGION = "us-central1"
REPOSITORY = f"{REGION}-docker.pkg.dev/local-project/notebook-builder/notebook-builder"
COMMIT = "c0ffee" * 6 + "c0ff"


def base() -> str:
    """The base that the image was built on: $BASE, or the Dockerfile's own."""
    own = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert own
    return os.environ.get("BASE") or own[1]


@pytest.fixture
def docker_image(engine: Engine) -> str:
    """A stand-in for gcr.io/cloud-builders/docker: the base, and in it the client that the tests use."""
    client = shutil.which(engine.program)
    assert client
    container = engine.call("create", "--label", engine.label, base())
    engine.call("cp", "--follow-link", client, f"{container}:/usr/local/bin/docker")
    for folder in PLUGINS:
        if Path(folder).is_dir():
            engine.call(
                "cp", "--follow-link", f"{folder}/.", f"{container}:/usr/local/lib/docker/cli-plugins"
            )
    made = engine.call("commit", "--change", 'ENTRYPOINT ["docker"]', container)
    engine.call("rm", container)
    name = "docker-standin:image-test"
    engine.tag(made, name)
    return name


@pytest.fixture
def served(engine: Engine, tmp_path: Path) -> Iterator[Registry]:
    """A registry for this test; the engine forgets the names that were pushed to it."""
    if problem := missing():
        pytest.exit(problem, returncode=2)
    with registry(tmp_path) as made:
        yield made
        for tag in (COMMIT, "latest"):
            engine.forget(f"{made.host}/{REPOSITORY}:{tag}")


@pytest.mark.timeout(400)
def test_own_build_publishes_the_image(docker_image: str, served: Registry, tmp_path: Path) -> None:
    values = {
        "COMMIT_SHA": COMMIT,
        "_REGION": f"{served.host}/{REGION}",  # all else of the name stays as it is
        "_BASE": base(),
        "_PYTHON": base(),
        "_DOCKER": docker_image,
        "_TESTS": "none",
        "_ACCOUNT": "builder",
    }
    given = ",".join(f"{key}={value}" for key, value in values.items())
    command = [sys.executable, "-m", "localcloud", "submit", "--runner", "docker", "--docker-socket"]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state"), "--substitutions", given, "."],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout
    for said in ('Step #0 - "test": no tests', "Notebook Builder", '"gcs_location"', "\nPUSH\n", "\nDONE\n"):
        assert said in done.stdout, done.stdout
    assert served.tags(REPOSITORY) == sorted([COMMIT, "latest"])
    assert served.digest(REPOSITORY, COMMIT) == served.digest(REPOSITORY, "latest")
