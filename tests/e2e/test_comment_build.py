"""The build file of docs/pull-request-comment.md on the local Cloud Build: a red run, its comment, and a red build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT
from tests.canary import ACCESSOR, client
from tests.certificates import certificates
from tests.e2e.builder_process import ROOT, Repo, notebook
from tests.forge import StandIn, served
from tests.patience import PATIENCE

PAGE = (ROOT / "docs" / "pull-request-comment.md").read_text(encoding="utf-8")
BUILD_FILE: str = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
ACCOUNT = f"notebook-builder@{PROJECT}.iam.gserviceaccount.com"
TOKEN = "a-token-of-the-forge"
ADDRESS = "https://github.com/$REPO_FULL_NAME/pull/$_PR_NUMBER"


@pytest.fixture
def forge(tmp_path: Path, repo: Repo) -> Iterator[StandIn]:
    """A stand-in of GitHub. The certificate of its authority is in the repo, since a build has a /tmp of its own."""
    authority, server = certificates(tmp_path)
    authority.rename(repo.folder / "authority.pem")
    with served("github", server) as made:
        made.users[TOKEN] = 1
        yield made
    assert made.unknown == []


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """The default project, with the token as docs/pull-request-comment.md creates it."""
    with Cloud(tmp_path / "cloud") as made:
        google, parent = client(made), f"projects/{PROJECT}"
        google.create_secret(
            parent=parent, secret_id="comment-token", secret={"replication": {"automatic": {}}}
        )
        name = f"{parent}/secrets/comment-token"
        google.add_secret_version(parent=name, payload={"data": TOKEN.encode()})
        policy = {"bindings": [{"role": ACCESSOR, "members": [f"serviceAccount:{ACCOUNT}"]}]}
        google.set_iam_policy(request={"resource": name, "policy": policy})
        yield made
        assert made.inventory().get("schema_violations", []) == []


def submit(cloud: Cloud, repo: Repo, *arguments: str) -> subprocess.CompletedProcess[str]:
    account = f"projects/{PROJECT}/serviceAccounts/{ACCOUNT}"
    return subprocess.run(
        [sys.executable, "-m", "localcloud", "submit", "--service-account", account, *arguments, "."],
        cwd=repo.folder,
        env={**os.environ, **cloud.environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def build_file(forge: StandIn) -> str:
    """Return the page's build file with the stand-in's address, and the variable that a private authority needs."""
    assert BUILD_FILE.count(ADDRESS) == 1
    return BUILD_FILE.replace(
        ADDRESS, f"{forge.pull_request}\n      - REQUESTS_CA_BUNDLE=/workspace/authority.pem"
    )


@pytest.mark.exhaustive
def test_a_red_run_is_told_and_the_build_is_red(cloud: Cloud, repo: Repo, forge: StandIn) -> None:
    build = build_file(forge)
    repo.write({"cloudbuild.yaml": build + "    - NB_NOTEBOOKS=bad.ipynb\n", "bad.ipynb": notebook("1/0")})
    done = submit(cloud, repo, "--commit", "--branch", "main")
    assert done.returncode == 1, done.stdout
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repo.folder, text=True).strip()
    assert [(one["commit"], one["state"]) for one in forge.statuses] == [(commit, "failure")], done.stdout
    (comment,) = forge.own(1)
    assert "ZeroDivisionError: division by zero" in comment
    assert 'build step 1 "us-central1-docker.pkg.dev' in done.stdout
    assert "failed: step exited with non-zero status: 1" in done.stdout
    assert TOKEN not in done.stdout


def test_a_run_that_ends_before_any_call_is_told_too(cloud: Cloud, repo: Repo, forge: StandIn) -> None:
    build = build_file(forge)
    repo.write({"cloudbuild.yaml": build, "notebooks.yaml": "notebooks: [gone.ipynb]\ntimeout: soon\n"})
    done = submit(cloud, repo, "--commit", "--branch", "main")
    assert done.returncode == 1, done.stdout
    assert "the notebooks were not judged" in forge.own(1)[0], done.stdout
    assert [one["state"] for one in forge.statuses] == ["failure"]
