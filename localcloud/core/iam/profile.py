"""The accounts, roles and grants of a project. Values; `localcloud.profile` has those of this repository."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.core.iam.project import EVERYONE, email

Json = dict[str, Any]

EVERY_BUCKET = "projects/_/buckets/BUCKET"
"""The resource of a grant on each bucket that localcloud makes at its start."""


@dataclass(frozen=True)
class Grant:
    """A role for an account (short name, address, or EVERYONE) on a resource, in Google's form of a binding.

    The condition of a grant on EVERY_BUCKET has BUCKET for the bucket's name, and PREFIX for the beginning of its
    objects' names: such a grant is made for each prefix.
    """

    account: str
    role: str
    on: str
    title: str = ""
    condition: str = ""

    @property
    def member(self) -> str:
        """The account as a policy names it."""
        if self.account == EVERYONE:
            return EVERYONE
        address = email(self.account)
        return f"{'serviceAccount' if address.endswith('.gserviceaccount.com') else 'user'}:{address}"

    @property
    def is_of_a_prefix(self) -> bool:
        """True if the grant holds below a prefix."""
        return "PREFIX" in self.condition

    def binding(self, values: Mapping[str, str]) -> Json | None:
        """Return the condition as a policy has it, with values for BUCKET and PREFIX; None without a condition."""
        if not self.condition:
            return None
        title, expression = self.title, self.condition
        for name, value in values.items():
            title, expression = title.replace(name, value), expression.replace(name, value)
        return {"title": title, "expression": expression}


@dataclass(frozen=True)
class Profile:
    """A project. `accounts` are short names; `roles` are its own roles, beside Google's, with their permissions.

    `default_account` is the short name of the account that builds and functions run as if they name none. Its buckets
    are made at the start; `prefixes` are those below which its accounts have their rights.
    """

    accounts: tuple[str, ...]
    default_account: str
    grants: tuple[Grant, ...] = ()
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    user: str = ""
    """The account of the programs that use the project, short or as an address; "" for its owner."""
    buckets: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    """The enabled services, such as "pubsub.googleapis.com"."""
    repositories: Mapping[str, str] = field(default_factory=dict)
    """The repositories of Artifact Registry by resource name, with their formats ("DOCKER")."""
    any_repository: bool = False
    """True if a repository of every other name exists too."""
    networks: tuple[str, ...] = ("default",)
    """Networks of Compute Engine's catalogue that the project has."""
    private_google_access: bool = False
    """True if VMs without an external address reach Google's APIs from the default network."""
    quotas: Mapping[str, float] = field(default_factory=dict)
    """Limits of Compute Engine by metric, where they differ from the catalogue's."""
    prefixes: tuple[str, ...] = ()
    policies: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The organization policies in force by constraint ("gcp.resourceLocations"), with the values that they allow."""
    name: str = "default"
    """The value of `--project`. A state directory is for one."""

    @property
    def default_address(self) -> str:
        """The address of the default account."""
        return email(self.default_account)
