"""The accounts, roles and grants of the project: what `setup/project.sh --schedule` makes of an empty one.

They come from the table of the set-up. Beside it stands what Google gives by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import product

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

# Regions that a set-up can choose: those of localcloud's Compute Engine. A build file names its own, so the grants on a
# repository of Artifact Registry are made in each.
REGIONS = ("us-central1", "us-east1", "us-west1", "europe-west1", "europe-west4")
# The set-up's prefix of the first repository of notebooks.
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


def _on(place: str) -> tuple[str, ...]:
    """Return the resources that a grant of the table names."""
    kind, _, name = place.partition(":")
    return {
        "project": (f"projects/{PROJECT}",),
        "bucket": (EVERY_BUCKET,),
        "repository": tuple(
            f"projects/{PROJECT}/locations/{region}/repositories/{name}" for region in REGIONS
        ),
        "account": (account_name(name),),
    }[kind]


def table_grants(parts: AbstractSet[str]) -> Iterator[Grant]:
    """Yield the grants of some parts of the table; those on a bucket keep BUCKET and PREFIX."""
    for grant in table().grants:
        condition = grant.condition or set_up.Condition("", "")
        for account, on in product(grant.accounts, _on(grant.on)) if grant.part in parts else ():
            yield Grant(
                _valued(account),
                grant.role if "/" in grant.role else f"projects/{PROJECT}/roles/{grant.role}",
                on,
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
