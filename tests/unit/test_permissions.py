"""The permissions that docs/accounts.md tells users to grant, that `check` asks for, and that localcloud grants, are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.check.permissions import ACT_AS, OBJECTS, ROLE, ROLE_ID
from localcloud.iam import GRANTS, PROJECT, ROLES, email

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")


def _documented(role: str) -> list[str]:
    """The permissions of the page's command that makes a role."""
    command = re.search(
        rf"gcloud iam roles create {role} .*?--permissions=((?:[\w.,]|\\\n)+)", PAGE, re.DOTALL
    )
    assert command is not None, role
    return command[1].replace("\\\n", "").strip().split(",")


def test_the_build_s_role_is_the_same_in_docs_check_and_localcloud() -> None:
    documented = _documented(ROLE_ID)
    assert sorted(documented) == sorted(ROLE)
    assert set(documented) == ROLES[f"projects/{PROJECT}/roles/{ROLE_ID}"]
    assert len(set(documented)) == len(documented)


def test_the_role_that_reads_builds_is_the_same_in_docs_and_localcloud_and_check_does_not_ask_for_it() -> (
    None
):
    documented = _documented("notebookBuildReader")
    assert set(documented) == ROLES[f"projects/{PROJECT}/roles/notebookBuildReader"]
    assert not set(documented) & set(ROLE)


def test_the_vm_s_roles_are_the_same_in_docs_and_localcloud() -> None:
    for role in ("notebookVmReader", "notebookVmWriter"):
        assert set(_documented(role)) == ROLES[f"projects/{PROJECT}/roles/{role}"]


def test_what_check_asks_for_is_in_the_roles_that_it_names() -> None:
    assert set(OBJECTS) <= ROLES["roles/storage.objectUser"]
    assert ACT_AS in ROLES["roles/iam.serviceAccountUser"]


def test_the_roles_for_deploying_are_the_same_in_docs_and_localcloud() -> None:
    for role in ("notebookDeployer", "notebookFunction", "notebookFunctionReader"):
        documented = _documented(role)
        assert set(documented) == ROLES[f"projects/{PROJECT}/roles/{role}"]
        assert len(set(documented)) == len(documented)


@pytest.mark.parametrize("account", ["builder", "vm", "deployer", "function", "function-build", "trigger"])
def test_an_account_has_the_roles_that_the_page_gives_it(account: str) -> None:
    """But for logs, which localcloud does not keep. Of an account that is acted as, the address counts too."""
    granted = {(grant.role, *_place(grant.on)) for grant in GRANTS if grant.account == account}
    # What is granted on the project counts in it, and localcloud has that as grants of its own.
    granted = {each for each in granted if each[1] == "projects" or (each[0], "projects", "") not in granted}
    assert granted == _given(account) - {("roles/logging.logWriter", "projects", "")}


# What a command binds a role on, and how localcloud's names of such resources have it.
_KINDS = {
    "projects": "projects",
    "iam service-accounts": "serviceAccounts",
    "storage buckets": "buckets",
    "artifacts repositories": "repositories",
}


def _place(on: str) -> tuple[str, str]:
    """The kind of resource that a grant is on, and of an account its address."""
    kind = next((each for each in _KINDS.values() if f"/{each}/" in on), "projects")
    return kind, on.rpartition("/")[2] if kind == "serviceAccounts" else ""


def _given(account: str) -> set[tuple[str, str, str]]:
    """The roles that the page's commands give to an account, each with the kind of resource, and of an account its address."""
    binding = re.compile(
        r"gcloud ([\w -]+?) add-iam-policy-binding (\S+) .*--member=serviceAccount:(\S+) .*--role=(\S+)"
    )
    bound = [found for found in map(binding.search, _commands().splitlines()) if found]
    return {
        (found[4], _KINDS[found[1]], found[2] if found[1] == "iam service-accounts" else "")
        for found in bound
        if found[3] == email(account)
    }


def _commands() -> str:
    """The page with its shell's lines joined, loops unrolled and variables replaced."""
    page = re.sub(
        r"^for (\w+) in (.*?); do\n(.*?)^done$",
        lambda loop: "".join(loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()),
        PAGE.replace("\\\n", " "),
        flags=re.MULTILINE | re.DOTALL,
    )
    page = page.replace("$PROJECT", PROJECT)
    values = dict(re.findall(r"\b([A-Z_]+)=(\S+@\S+)", page))
    for name in sorted(values, key=len, reverse=True):
        page = page.replace(f"${name}", values[name])
    return page
