"""The accounts: with the roles of docs/accounts.md a run is green; without any one of them it is red, and says which is missing.

`shared_run.RUNNER` shows that a run needs no more than `builder` has without the role for `check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from localcloud.cloud import Cloud
from localcloud.iam import GRANTS, PROJECT, Grant, email
from tests.e2e.deploying import Deployer, Proven
from tests.e2e.shared_run import PATIENCE, run_patiently
from tests.e2e.world import BUCKET, Builder, Repo, notebook

pytestmark = pytest.mark.timeout(PATIENCE + 20)


@dataclass(frozen=True)
class MissingRole:
    """A role that an account lacks: its ending, a part of the resource that it is granted on, what the message names."""

    role: str
    on: str
    named: str

    def without(self, grants: tuple[Grant, ...], account: str, name: str) -> list[Grant]:
        """Return the grants of `account` but for this role, as those of an account called `name`."""
        mine = [grant for grant in grants if grant.account == account]
        left = [grant for grant in mine if not (grant.role.endswith(self.role) and self.on in grant.on)]
        assert len(left) < len(mine)
        return [replace(grant, account=name) for grant in left]


BUILDERS = {
    "builder-without-compute": MissingRole(
        "notebookBuilder", "projects/local-project", "compute.instances.create"
    ),
    "builder-without-storage": MissingRole(
        "roles/storage.objectUser", "projects/_/buckets", "storage.objects.create"
    ),
    "builder-without-act-as": MissingRole(
        "roles/iam.serviceAccountUser", "serviceAccounts/vm@", "serviceAccountUser"
    ),
}
# Accounts that exist, and nothing else is made of here: a VM needs one that does.
VMS = {
    "vm": MissingRole("notebookVmReader", "/kits/", "/kits/"),
    "function": MissingRole("notebookVmReader", "/staging/", "storage.objects.get"),
    "trigger": MissingRole("notebookVmWriter", "/staging/", "storage.objects.create"),
}


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose accounts lack one role each; `builder` lacks none."""
    grants = [grant for grant in GRANTS if grant.account not in VMS]
    for name, missing in BUILDERS.items():
        grants += missing.without(GRANTS, "builder", name)
    for name, missing in VMS.items():
        grants += missing.without(GRANTS, "vm", name)
        on = f"projects/{PROJECT}/serviceAccounts/{email(name)}"
        grants.append(Grant("builder", "roles/iam.serviceAccountUser", on))
    with Cloud(tmp_path_factory.mktemp("restricted"), buckets=[BUCKET], grants=grants) as cloud:
        yield cloud


@pytest.mark.parametrize("account", BUILDERS)
def test_without_one_of_the_builder_s_roles_a_run_is_4_and_names_it(
    restricted: Cloud, repo: Repo, account: str
) -> None:
    repo.write({"demo.ipynb": notebook("print('hello')")})
    builder = Builder(restricted, repo.folder)
    done = builder.run(
        **restricted.environment(account),
        NB_NOTEBOOKS="demo.ipynb",
        NB_ZONES="us-central1-a",
        NB_BOOT_TIMEOUT="25",
    )
    assert done.code == 4, done.output
    assert BUILDERS[account].named in done.output, done.output
    assert builder.left() == []


def test_without_one_of_the_vm_s_roles_a_run_is_4_and_names_it(restricted: Cloud, repo: Repo) -> None:
    entries = [{"path": f"{name}.ipynb", "vm_service_account": email(name)} for name in VMS]
    config = {"notebooks": entries, "zones": "us-central1-a"}
    files = {f"{name}.ipynb": notebook("print('hello')") for name in VMS}
    repo.write({**files, "notebooks.yaml": json.dumps(config)})
    builder = Builder(restricted, repo.folder)
    done = run_patiently(builder, NB_VM_SERVICE_ACCOUNT="", NB_BOOT_TIMEOUT="30")
    assert done.code == 4, done.output
    for name, missing in VMS.items():
        assert done.job(name)["exit_code"] == 4, done.output
        own = [line for line in done.output.splitlines() if line.startswith(f"{name} ")]
        assert any(missing.named in line for line in own), done.output
        assert any("docs/accounts.md" in line for line in own), done.output
    assert builder.left() == []


def test_the_deployer_s_own_roles_are_enough_for_a_run(proven: Proven) -> None:
    """Builds that deploy have one account for all their steps; in the cloud of this run `builder` could do nothing."""
    (summary,) = (proven.folder / "cloud/storage" / BUCKET).glob("*/results/*/summary.json")
    assert json.loads(summary.read_text())["verdict"] == "green"


# Those for runs are above; whether Google asks for the one on `trigger` is not documented, and localcloud does not.
DEPLOYERS = {
    "deployer-without-functions": MissingRole("notebookDeployer", "", "cloudfunctions.functions.get"),
    "deployer-without-storage": MissingRole("roles/storage.objectUser", "", "storage.objects.get"),
    "deployer-without-registry": MissingRole(
        "roles/artifactregistry.reader", "", "artifactregistry.tags.get"
    ),
    "deployer-without-function": MissingRole(
        "roles/iam.serviceAccountUser", f"/{email('function')}", "iam.serviceAccounts.actAs"
    ),
    "deployer-without-function-build": MissingRole(
        "roles/iam.serviceAccountUser", f"/{email('function-build')}", "iam.serviceAccounts.actAs"
    ),
}


@pytest.fixture(scope="module")
def restricted_deployer(proven: Proven, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployer]:
    """The branch that deploys what was proven, on a cloud with accounts that lack one role each."""
    grants = [*GRANTS]
    for name, missing in DEPLOYERS.items():
        grants += missing.without(GRANTS, "deployer", name)
    with proven.copied(tmp_path_factory.mktemp("restricted") / "proven", grants=grants) as made:
        yield made


@pytest.mark.parametrize("account", DEPLOYERS)
def test_without_one_of_its_roles_a_deploy_is_4_and_names_it(
    restricted_deployer: Deployer, account: str
) -> None:
    deployer, missing = restricted_deployer, DEPLOYERS[account]
    done = deployer.deploy(**deployer.cloud.environment(account))
    assert done.code == 4, done.output
    assert f"{email(account)} lacks {missing.named}" in done.output, done.output
    assert f"do: Grant {email(account)}" in done.output
    assert "docs/accounts.md" in done.output or missing.on[1:] in done.output.splitlines()[-2]
    assert deployer.live() is None
