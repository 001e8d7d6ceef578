"""A project with other grants than the default one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from localcloud.core.iam import Grant, Profile
from localcloud.profile import GRANTS, PROFILE
from localcloud.profile.accounts import table_grants

UNDEPLOYED = tuple(table_grants({"undeployed"}))
"""The grant that lets `notebook-builder` keep proofs, for a prefix that is not deployed."""


def granting(grants: Iterable[Grant] = GRANTS, prefix: str = "ci") -> Profile:
    """The default project with these grants instead of its own, below this prefix of its buckets."""
    return replace(PROFILE, grants=tuple(grants), prefixes=(prefix,))


def narrowed(account: str, folder: str) -> list[Grant]:
    """Return the default grants, with those of one account that name folders no longer for this folder."""
    return [
        replace(grant, condition=_without(grant.condition, folder)) if grant.account == account else grant
        for grant in GRANTS
    ]


def _without(condition: str, folder: str) -> str:
    return " || ".join(part for part in condition.split(" || ") if f"/{folder}/" not in part)
