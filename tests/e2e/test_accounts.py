"""The accounts.

With the roles of docs/accounts.md a run is green; without any one of them it is red, and says which is missing.
`shared_run.RUNNER` shows that a run needs no more than `builder` has without the role for `check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant, email
from localcloud.profile import FIRST_BUCKET, GRANTS
from localcloud.profile.accounts import PREFIX
from tests.e2e.builder_process import BUCKET, Builder, Repo, notebook
from tests.e2e.deploying import Deployer, Proven
from tests.granting import granting, narrowed


@dataclass(frozen=True)
class MissingRole:
    """A role that an account lacks.

    Its ending (or several), a part of the resource that it is granted on, what the message names. With `folder`, the
    account has the role, but not below this folder.
    """

    role: str | tuple[str, ...]
    on: str
    named: str
    folder: str = ""

    def without(self, grants: tuple[Grant, ...], account: str, name: str) -> list[Grant]:
        """Return the grants of `account` but for this role, as those of an account called `name`."""
        mine = [grant for grant in grants if grant.account == account]
        left = [self._narrowed(grant) for grant in mine if self._keeps(grant)]
        assert left != mine
        return [replace(grant, account=name) for grant in left]

    def _keeps(self, grant: Grant) -> bool:
        return bool(self.folder) or not (grant.role.endswith(self.role) and self.on in grant.on)

    def _narrowed(self, grant: Grant) -> Grant:
        if not (self.folder and grant.role.endswith(self.role)):
            return grant
        others = [one for one in grant.condition.split(" || ") if f"/{self.folder}/" not in one]
        return replace(grant, condition=" || ".join(others))


BUILDERS = {
    "builder-without-compute": MissingRole(
        "notebookBuilder", "projects/local-project", "compute.instances.create"
    ),
    "builder-without-storage": MissingRole(
        "roles/storage.objectUser", "projects/_/buckets", "storage.objects.create"
    ),
    "builder-without-act-as": MissingRole(
        "roles/iam.serviceAccountUser", "serviceAccounts/notebook-vm@", "serviceAccountUser"
    ),
}
# Accounts that exist, and nothing else is made of here: a VM needs one that does.
VMS = {
    "notebook-vm": MissingRole("notebookVmReader", "buckets", "/kits/", folder="kits"),
    "notebook-function": MissingRole("notebookVmReader", "buckets", "storage.objects.get", folder="staging"),
    "notebook-trigger": MissingRole("notebookVmWriter", "buckets", "storage.objects.create"),
}


def sample(accounts: Iterable[str], *always: str) -> list[Any]:
    """Return all accounts as cases: those named in `always` are not exhaustive, and `make test` runs some of them."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.exhaustive) for name in accounts]


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose accounts lack one role each; `notebook-builder` lacks none."""
    grants = [grant for grant in GRANTS if grant.account not in VMS]
    for name, missing in BUILDERS.items():
        grants += missing.without(GRANTS, "notebook-builder", name)
    for name, missing in VMS.items():
        grants += missing.without(GRANTS, "notebook-vm", name)
        on = f"projects/{PROJECT}/serviceAccounts/{email(name)}"
        grants.append(Grant("notebook-builder", "roles/iam.serviceAccountUser", on))
    with Cloud(tmp_path_factory.mktemp("restricted"), buckets=[BUCKET], profile=granting(grants)) as cloud:
        yield cloud


@pytest.mark.parametrize("account", sample(BUILDERS, "builder-without-compute"))
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


def test_without_the_grant_of_its_prefix_a_run_is_4_and_names_the_command(tmp_path: Path, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("print('hello')")})
    with Cloud(
        tmp_path / "cloud", profile=granting(narrowed("notebook-builder", "staging"), PREFIX)
    ) as cloud:
        builder = Builder(cloud, repo.folder)
        location = f"{FIRST_BUCKET}/{PREFIX}"
        done = builder.run(
            **cloud.environment("notebook-builder"),
            NB_NOTEBOOKS="demo.ipynb",
            NB_ZONES="us-central1-a",
            NB_GCS_LOCATION=f"gs://{location}",
        )
        assert builder.left() == []
    assert done.code == 4, done.output
    assert f"missing: gs://{location}: missing: storage.objects.create below staging/" in done.output
    command = (
        f"setup/repo.sh --project {PROJECT} --region us-central1 --bucket {FIRST_BUCKET} --prefix {PREFIX}"
    )
    assert f"do:    {command}\n" in done.output


@pytest.mark.exhaustive  # vm/test_boot.py has the VM's words, integration/test_run.py what a run makes of them
def test_without_one_of_the_vm_s_roles_a_run_is_4_and_names_it(restricted: Cloud, repo: Repo) -> None:
    entries = [{"path": f"{name}.ipynb", "vm_service_account": email(name)} for name in VMS]
    config = {"notebooks": entries, "zones": "us-central1-a"}
    files = {f"{name}.ipynb": notebook("print('hello')") for name in VMS}
    repo.write({**files, "notebooks.yaml": json.dumps(config)})
    builder = Builder(restricted, repo.folder)
    done = builder.run(NB_VM_SERVICE_ACCOUNT="", NB_BOOT_TIMEOUT="30")
    assert done.code == 4, done.output
    for name, missing in VMS.items():
        assert done.job(name)["exit_code"] == 4, done.output
        own = [line for line in done.output.splitlines() if line.startswith(f"{name} ")]
        assert any(missing.named in line for line in own), done.output
        assert any("docs/accounts.md" in line for line in own), done.output
    assert builder.left() == []


@pytest.mark.exhaustive
def test_the_deployer_s_own_roles_are_enough_for_a_run(proven: Proven) -> None:
    """Builds that deploy have one account for all their steps; in the cloud of this run `builder` could do nothing."""
    (summary,) = (proven.folder / "cloud/storage" / BUCKET).glob("*/results/*/summary.json")
    assert json.loads(summary.read_text())["verdict"] == "green"


# Those for runs are above; whether Google asks for the one on `trigger` is not documented, and localcloud does not.
STORAGE = ("roles/storage.objectUser", "roles/storage.objectViewer")
DEPLOYERS = {
    "deployer-without-functions": MissingRole("notebookDeployer", "", "cloudfunctions.functions.get"),
    "deployer-without-storage": MissingRole(STORAGE, "", "storage.objects.get"),
    "deployer-without-prefix": MissingRole("roles/storage.objectUser", "", "storage.objects.create"),
    "deployer-without-registry": MissingRole(
        "roles/artifactregistry.reader", "", "artifactregistry.tags.get"
    ),
    "deployer-without-function": MissingRole(
        "roles/iam.serviceAccountUser", f"/{email('notebook-function')}", "iam.serviceAccounts.actAs"
    ),
    "deployer-without-function-build": MissingRole(
        "roles/iam.serviceAccountUser", f"/{email('notebook-function-build')}", "iam.serviceAccounts.actAs"
    ),
}


@pytest.fixture(scope="module")
def restricted_deployer(proven: Proven, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployer]:
    """The branch that deploys what was proven, on a cloud with accounts that lack one role each."""
    grants = [*GRANTS]
    for name, missing in DEPLOYERS.items():
        grants += missing.without(GRANTS, "notebook-deployer", name)
    with proven.copied(tmp_path_factory.mktemp("restricted") / "proven", grants=grants) as made:
        yield made


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "account",
    sample(DEPLOYERS, "deployer-without-functions", "deployer-without-function", "deployer-without-prefix"),
)
def test_without_one_of_its_roles_a_deploy_is_4_and_names_it(
    restricted_deployer: Deployer, account: str
) -> None:
    deployer, missing = restricted_deployer, DEPLOYERS[account]
    done = deployer.deploy(**deployer.cloud.environment(account))
    assert done.code == 4, done.output
    assert f"{email(account)} lacks {missing.named}" in done.output, done.output
    granted = (f"or grant them to {email(account)}", f"do: Grant {email(account)} roles/")
    assert any(words in done.output for words in granted), done.output
    assert (missing.on[1:] or "docs/accounts.md") in done.output, done.output
    assert deployer.live() is None
    command = f"do:    setup/repo.sh --project {PROJECT} --region us-central1 --bucket {BUCKET} --prefix "
    assert (command in done.output) == missing.named.startswith("storage.objects."), done.output
