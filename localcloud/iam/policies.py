"""Policies that users set on resources with Google's own `setIamPolicy`: which members have which role there."""

from __future__ import annotations

import base64
import re
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localcloud.errors import aborted, invalid, unimplemented
from localcloud.iam.policy import ACCOUNTS, EVERYONE, PROJECT, PROJECT_NUMBER, email
from localcloud.iam.roles import ROLES

Json = dict[str, Any]

# The etag of a resource that nobody has set a policy on.
_UNSET: Json = {"etag": "ACAB"}
_ANYONE = ("allUsers", EVERYONE)
_MEMBER = re.compile(r"(user|serviceAccount|group|domain|principal|principalSet|deleted):\S+")
_CONCURRENT = (
    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
)


def by_id(resource: str) -> str:
    """Return a resource's name with the project's id where it has the project's number."""
    head, number, rest = resource.partition(f"projects/{PROJECT_NUMBER}")
    return f"projects/{PROJECT}{rest}" if number and not head and rest[:1] in {"", "/"} else resource


class Policies:
    """Policies by resource name, in memory; safe to use from several threads."""

    def __init__(self) -> None:
        self._policies: dict[str, Json] = {}
        self._lock = threading.Lock()

    def get(self, resource: str) -> Json:
        """Return a resource's policy in Google's form; one that was never set has an etag and nothing else."""
        with self._lock:
            return dict(self._policies.get(by_id(resource), _UNSET))

    def set(self, resource: str, policy: Json) -> Json:
        """Replace a resource's policy and return it with its new etag.

        Raises `ApiError`: 409 when the policy brings the etag of an older one; 400 for a member that is none; 501 for a
        role that localcloud does not have, and for conditions.
        """
        bindings = _merged(policy.get("bindings") or ())
        with self._lock:
            current = self._policies.get(by_id(resource), _UNSET)
            if policy.get("etag") and _plain(policy["etag"]) != _plain(current["etag"]):
                raise aborted(_CONCURRENT)
            etag = base64.b64encode(secrets.token_bytes(8)).decode()
            changed: Json = {"version": 1, "etag": etag}
            if bindings:
                changed["bindings"] = [
                    {"role": role, "members": members} for role, members in bindings.items()
                ]
            self._policies[by_id(resource)] = changed
            return dict(changed)

    def remove(self, resource: str) -> None:
        """Forget a resource's policy; without effect when it has none."""
        with self._lock:
            self._policies.pop(by_id(resource), None)

    def roles(self, address: str, resource: str) -> Iterator[str]:
        """Yield the roles that an account has on a resource, by its own policy and those of what it is in."""
        parts = by_id(resource).split("/")
        with self._lock:
            above = [self._policies.get("/".join(parts[:count])) for count in range(1, len(parts) + 1)]
        for policy in above:
            for binding in (policy or {}).get("bindings", ()):
                if any(member in (*_ANYONE, f"serviceAccount:{address}") for member in binding["members"]):
                    yield binding["role"]


def _plain(etag: str) -> str:
    return etag.replace("-", "+").replace("_", "/").rstrip("=")


def _merged(bindings: Sequence[Json]) -> Mapping[str, list[str]]:
    """Return the members by role, each once; a role without members is none."""
    found: dict[str, set[str]] = {}
    for binding in bindings:
        role, members = binding.get("role") or "", binding.get("members") or ()
        if binding.get("condition"):
            raise unimplemented(f"localcloud does not evaluate conditions (in the binding of {role}).")
        if role not in ROLES:
            raise unimplemented(
                f"localcloud does not have the role '{role}'; it has {', '.join(sorted(ROLES))}."
            )
        for member in members:
            _check_member(member)
        found.setdefault(role, set()).update(members)
    return {role: sorted(members) for role, members in sorted(found.items()) if members}


def _check_member(member: str) -> None:
    if member in _ANYONE:
        return
    if not _MEMBER.fullmatch(member):
        words = f"The member {member} is of an unknown type. Please set a valid type prefix for the member."
        raise invalid(words)
    kind, _, address = member.partition(":")
    ours = address.endswith(email("").removeprefix("@"))
    if kind == "serviceAccount" and ours and address not in map(email, ACCOUNTS):
        raise invalid(f"Service account {address} does not exist.")
