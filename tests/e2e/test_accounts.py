"""The accounts: with the roles of docs/accounts.md a run is green; without any one of them it is red, and says which is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from localcloud.iam import GRANTS, email
from tests.e2e.deploying import Proven
from tests.e2e.world import BUCKET, Builder, Repo, notebook

pytestmark = pytest.mark.slow

# Account, role, where it is granted: and what the message must name when it is missing.
NEEDED = [
    (("builder", "notebookBuilder", "projects/local-project"), "compute.instances.create"),
    (("builder", "roles/storage.objectUser", "projects/_/buckets"), "storage.objects.create"),
    (("builder", "roles/iam.serviceAccountUser", "serviceAccounts/vm@"), "serviceAccountUser"),
    (("vm", "notebookVmReader", "/kits/"), "/kits/"),
    (("vm", "notebookVmReader", "/staging/"), "storage.objects.get"),
    (("vm", "notebookVmWriter", "/staging/"), "storage.objects.create"),
]


@pytest.mark.parametrize(
    ("missing", "named"), NEEDED, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_without_one_of_its_roles_a_run_is_4_and_names_it(
    tmp_path: Path, repo: Repo, missing: tuple[str, str, str], named: str
) -> None:
    account, role, place = missing
    left = [
        grant
        for grant in GRANTS
        if not (grant.account == account and grant.role.endswith(role) and place in grant.on)
    ]
    assert len(left) < len(GRANTS)
    repo.write({"demo.ipynb": notebook("print('hello')")})
    with Cloud(tmp_path / "cloud", buckets=[BUCKET], grants=left) as cloud:
        builder = Builder(cloud, repo.folder)
        done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_ZONES="us-central1-a", NB_BOOT_TIMEOUT="25")
        assert done.code == 4, done.output
        assert named in done.output, done.output
        assert "docs/accounts.md" in done.output or account == "builder"
        assert builder.left() == []


def test_a_run_needs_no_look_at_the_bucket_itself(tmp_path: Path, repo: Repo) -> None:
    """`roles/storage.bucketViewer` is for `check`."""
    left = [grant for grant in GRANTS if not grant.role.endswith("bucketViewer")]
    assert len(left) < len(GRANTS)
    repo.write({"demo.ipynb": notebook("print('hello')")})
    with Cloud(tmp_path / "cloud", buckets=[BUCKET], grants=left) as cloud:
        done = Builder(cloud, repo.folder).run(NB_NOTEBOOKS="demo.ipynb", NB_ZONES="us-central1-a")
    assert done.code == 0, done.output


def test_the_deployer_s_own_roles_are_enough_for_a_run(tmp_path: Path, repo: Repo) -> None:
    """Builds that deploy have one account for all their steps."""
    left = [grant for grant in GRANTS if grant.account != "builder"]
    repo.write({"demo.ipynb": notebook("print('hello')")})
    with Cloud(tmp_path / "cloud", buckets=[BUCKET], grants=left) as cloud:
        options = {**cloud.environment("deployer"), "NB_NOTEBOOKS": "demo.ipynb", "NB_ZONES": "us-central1-a"}
        builder = Builder(cloud, repo.folder)
        done = builder.run(**options)
        assert done.code == 0, done.output
        assert builder.left() == []


# A role of the account that deploys, the kind of resource or the account that it is granted on, and what the message must name
# when it is missing. Those for runs are above; whether Google asks for the one on `trigger` is not documented, and localcloud does not.
DEPLOYING = [
    (("notebookDeployer", ""), "cloudfunctions.functions.get"),
    (("roles/storage.objectUser", ""), "storage.objects.get"),
    (("roles/artifactregistry.reader", ""), "artifactregistry.tags.get"),
    (("roles/iam.serviceAccountUser", email("function")), "iam.serviceAccounts.actAs"),
    (("roles/iam.serviceAccountUser", email("function-build")), "iam.serviceAccounts.actAs"),
]


@pytest.mark.parametrize(
    ("missing", "named"), DEPLOYING, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_without_one_of_its_roles_a_deploy_is_4_and_names_it(
    proven: Proven, tmp_path: Path, missing: tuple[str, str], named: str
) -> None:
    role, place = missing
    left = [
        grant
        for grant in GRANTS
        if not (
            grant.account == "deployer"
            and grant.role.endswith(role)
            and grant.on.endswith(f"/{place}" if place else "")
        )
    ]
    assert len(left) < len(GRANTS)
    with proven.copied(tmp_path / "proven", grants=left) as deployer:
        done = deployer.deploy()
        assert done.code == 4, done.output
        assert f"{email('deployer')} lacks {named}" in done.output, done.output
        assert f"do: Grant {email('deployer')}" in done.output
        assert "docs/accounts.md" in done.output or place in done.output.splitlines()[-2]
        assert deployer.live() is None
