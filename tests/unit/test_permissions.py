"""The permissions that docs/accounts.md tells users to grant, that `check` asks for, and that localcloud grants, are the same."""

from __future__ import annotations

import re
from pathlib import Path

from builder.check.permissions import ACT_AS, OBJECTS, ROLE, ROLE_ID
from localcloud.iam import GRANTS, PROJECT, ROLES

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


def test_the_vm_s_roles_are_the_same_in_docs_and_localcloud() -> None:
    for role in ("notebookVmReader", "notebookVmWriter"):
        assert set(_documented(role)) == ROLES[f"projects/{PROJECT}/roles/{role}"]


def test_what_check_asks_for_is_in_the_roles_that_it_names() -> None:
    assert set(OBJECTS) <= ROLES["roles/storage.objectUser"]
    assert ACT_AS in ROLES["roles/iam.serviceAccountUser"]


def test_the_roles_of_the_builder_are_those_of_the_page() -> None:
    granted = {grant.role.rpartition("/")[2] for grant in GRANTS if grant.account == "builder"}
    assert {role for role in granted if role not in PAGE} == set()
