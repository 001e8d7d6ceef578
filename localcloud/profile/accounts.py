"""The accounts, roles and grants of the project: what `setup/project.sh --schedule` makes of an empty one.

They come from the table of the set-up. Beside it stands what Google gives by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from localcloud.core.caller import OWNER_ADDRESS
from localcloud.core.iam import (
    EVERY_BUCKET,
    EVERYONE,
    PROJECT,
    PROJECT_NUMBER,
    SCHEDULER_AGENT,
    Grant,
    account_name,
)
from localcloud.profile import table as set_up
from localcloud.profile.table import DEPLOYING, table

# The account of `exec` and `serve`, and of builds that name none (on Google, Compute Engine's default account).
DEFAULT_ACCOUNT = "notebook-deployer"

# The set-up's own choices: the region of a repository, and the prefix of the first repository of notebooks.
REGION = "us-central1"
PREFIX = "notebooks"

# Every Google project can read these without a grant.
_PUBLIC_IMAGE_PROJECTS = ("deeplearning-platform-release", "debian-cloud", "ubuntu-os-cloud")

PUBLIC = (
    Grant(OWNER_ADDRESS, "roles/owner", f"projects/{PROJECT}"),
    *(Grant(EVERYONE, "roles/compute.imageUser", f"projects/{name}") for name in _PUBLIC_IMAGE_PROJECTS),
    Grant(EVERYONE, "roles/bigquery.dataViewer", "projects/bigquery-public-data"),
    Grant(SCHEDULER_AGENT, "roles/cloudscheduler.serviceAgent", f"projects/{PROJECT}"),
)
"""The grants of a new project, and those on public resources."""


def _on(place: str) -> str:
    """Return the resource that a grant of the table names."""
    kind, _, name = place.partition(":")
    return {
        "project": f"projects/{PROJECT}",
        "bucket": EVERY_BUCKET,
        "repository": f"projects/{PROJECT}/locations/{REGION}/repositories/{name}",
        "account": account_name(name),
    }[kind]


def table_grants(parts: AbstractSet[str]) -> Iterator[Grant]:
    """Yield the grants of some parts of the table; those on a bucket keep BUCKET and PREFIX."""
    for grant in table().grants:
        for account in grant.accounts if grant.part in parts else ():
            condition = grant.condition or set_up.Condition("", "")
            yield Grant(
                _valued(account),
                grant.role if "/" in grant.role else f"projects/{PROJECT}/roles/{grant.role}",
                _on(grant.on),
                condition.title,
                _valued(condition.expression),
            )


def _valued(text: str) -> str:
    return text.replace("NUMBER", PROJECT_NUMBER).replace("PROJECT", PROJECT)


ACCOUNTS = tuple(account.name for account in table().accounts if account.part in DEPLOYING)
CUSTOM_ROLES: Mapping[str, frozenset[str]] = {
    f"projects/{PROJECT}/roles/{role.name}": frozenset(role.permissions)
    for role in table().roles
    if role.part in DEPLOYING
}
GRANTS = (*PUBLIC, *table_grants(DEPLOYING))
