"""The permissions that `check` asks for are those of the table of setup/."""

from __future__ import annotations

import shlex

from builder import gcloud
from builder.check.permissions import ACT_AS, OBJECTS, ROLE, ROLE_ID
from localcloud.core.iam import ROLES
from localcloud.profile.table import table


def permissions(role: str) -> tuple[str, ...]:
    """Return the permissions of a custom role."""
    (found,) = [each.permissions for each in table().roles if each.name == role]
    return found


def test_check_asks_for_the_permissions_of_the_roles_that_it_names() -> None:
    assert sorted(permissions(ROLE_ID)) == sorted(ROLE)
    assert set(OBJECTS) <= ROLES["roles/storage.objectUser"]
    assert ACT_AS in ROLES["roles/iam.serviceAccountUser"]


def test_no_role_names_a_permission_twice() -> None:
    for role in table().roles:
        assert len({*role.permissions}) == len(role.permissions)


def test_the_optional_role_is_none_that_check_asks_for() -> None:
    assert not set(permissions("notebookBuildReader")) & set(ROLE)


def test_the_advised_grant_has_the_condition_of_the_table() -> None:
    (condition,) = {grant.condition for grant in table().grants if grant.role == ROLE_ID}
    assert condition is not None
    words = shlex.split(gcloud.grant_builder("my-project", "serviceAccount:a@b"))
    assert words[-1] == f"--condition=title={condition.title},expression={condition.expression}"
