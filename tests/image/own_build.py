"""This repo's own cloudbuild.yaml, as it stands, on the local Cloud Build: builds, tries and publishes the image.

`make image-submit` runs it. The build's steps know nothing of this machine's package index: so the engine makes every
stage before, of the same files, with `docker/build.sh`, and the build finds them. The registry is on the loopback
interface. What stands in for Google's docker client is made here: this machine's own, in the base image. The build
runs no tests.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.closed_cloud import ROOT
from tests.image.engine import Engine
from tests.image.registry import Registry, missing, registry

PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")
REGION = "us-central1"
REPOSITORY = f"{REGION}-docker.pkg.dev/local-project/notebook-builder/notebook-builder"
# The host's network, as in the build before: it is part of what the engine knows a stage by.
CLIENT = b"""#!/bin/sh
command=$1
shift
[ "$command" != build ] || set -- --network host "$@"
exec /usr/local/bin/docker-client "$command" "$@"
"""
COMMIT = "c0ffee" * 6 + "c0ff"


def base(name: str = "BASE") -> str:
    """The base that the image, or the kit of a CPython, was built on: $BASE, or the Dockerfile's own."""
    own = re.search(rf"^ARG {name}=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert own
    return os.environ.get("BASE") or own[1]


def _tar(name: str, content: bytes) -> bytes:
    """A tar archive of one program."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def stages() -> None:
    """Have the engine make all stages, with the package index of this machine."""
    build = [str(ROOT / "docker/build.sh"), "--network", "host"]
    done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def docker_image(engine: Engine) -> str:
    """A stand-in for gcr.io/cloud-builders/docker: the base, and in it the client that the tests use."""
    client = shutil.which(engine.program)
    assert client
    container = engine.call("create", "--label", engine.label, base())
    engine.call("cp", "--follow-link", client, f"{container}:/usr/local/bin/docker-client")
    engine.call("cp", "-", f"{container}:/usr/local/bin", send=_tar("docker", CLIENT))
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


@pytest.mark.timeout(2000)
@pytest.mark.usefixtures("stages")
def test_own_build_publishes_the_image(docker_image: str, served: Registry, tmp_path: Path) -> None:
    values = {
        "COMMIT_SHA": COMMIT,
        "_REGION": f"{served.host}/{REGION}",  # all else of the name stays as it is
        "_BASE": base(),
        **{f"_{name}": base(name) for name in ("BASE_311", "BASE_312", "BASE_314", "BASE_315")},
        "_PYTHON": base(),
        "_DOCKER": docker_image,
        "_TESTS": "none",
    }
    given = ",".join(f"{key}={value}" for key, value in values.items())
    command = [sys.executable, "-m", "localcloud", "submit", "--runner", "docker", "--docker-socket"]
    command += ["--gcs-source-staging-dir", "gs://local-project-notebooks/image-source"]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state"), "--substitutions", given, "."],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1900,
    )
    assert done.returncode == 0, done.stdout
    for said in (
        'Step #0 - "test": _TESTS is none: no tests run',
        "Notebook Builder",
        '"gcs_location"',
        "\nPUSH\n",
        "\nDONE\n",
    ):
        assert said in done.stdout, done.stdout
    assert served.tags(REPOSITORY) == sorted([COMMIT, "latest"])
    assert served.digest(REPOSITORY, COMMIT) == served.digest(REPOSITORY, "latest")
