"""Policies of resources: who has which role on what, under which condition."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.errors import aborted, invalid
from localcloud.core.iam.conditions import Condition, Resource, compiled
from localcloud.core.iam.project import EVERYONE, PROJECT, PROJECT_NUMBER, by_id
from localcloud.core.kept import Kept

Json = dict[str, Any]

# The etag of a resource without a policy.
_UNSET: Json = {"etag": "ACAB"}
ANYONE = "allUsers"
_MEMBER = re.compile(r"(user|serviceAccount|group|domain|principal|principalSet|deleted):\S+")
_BASIC_MEMBER = re.compile(rf"project(Owner|Editor|Viewer):{PROJECT}")
_CONCURRENT = (
    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
)
_CONDITIONAL = 3
_VERSIONS = (0, 1, _CONDITIONAL)
_BASIC_ROLES = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
# Conditional bindings of the same role and member in one policy (docs/facts.md §4.4).
_MAX_CONDITIONAL = 20
_VERSION_HELP = "For more information, please refer to https://cloud.google.com/iam/docs/policies#versions."
# The types of resources whose conditions see a name, by the collection of the resource.
_TYPES = {
    "buckets": "storage.googleapis.com/Bucket",
    "objects": "storage.googleapis.com/Object",
    "instances": "compute.googleapis.com/Instance",
    "disks": "compute.googleapis.com/Disk",
    "secrets": "secretmanager.googleapis.com/Secret",
    "versions": "secretmanager.googleapis.com/SecretVersion",
    "projects": "cloudresourcemanager.googleapis.com/Project",
    "serviceAccounts": "iam.googleapis.com/ServiceAccount",
}


@dataclass(frozen=True)
class _Bound:
    """A role that a member has where its condition holds."""

    role: str
    condition: Condition | None


class Policies:
    """Policies by resource name, kept in a file. A policy is compiled when it is set, so a look-up is cheap.

    `check_role` and `check_member` raise `ApiError` if a policy may not name it.
    """

    def __init__(
        self, kept: Kept, check_role: Callable[[str], None], check_member: Callable[[str], None]
    ) -> None:
        self._kept = kept
        self._check_role = check_role
        self._check_member = check_member
        self._compiled = {name: _compiled(policy) for name, policy in kept.items()}

    def names(self) -> list[str]:
        """Return the names of all resources with a policy."""
        return self._kept.names()

    def get(self, resource: str, version: int = _CONDITIONAL) -> Json:
        """Return a resource's policy in Google's form; one that was never set has an etag and nothing else.

        Below version 3, a conditional binding has no condition and another role's name, as from Google.
        """
        check_version(version)
        policy = self._kept.find(by_id(resource)) or _UNSET
        if version >= _CONDITIONAL or policy.get("version") != _CONDITIONAL:
            return dict(policy)
        return {**policy, "version": 1, "bindings": [_plain(binding) for binding in policy["bindings"]]}

    def set(self, resource: str, policy: Json) -> Json:
        """Replace a resource's policy and return it with its new etag.

        Raise `ApiError`: 409 for the etag of an older policy; 400 for content or version; 501 for what is not covered.
        """
        version = policy.get("version") or 0
        check_version(version)
        bindings = self._merged(policy)
        conditional = any("condition" in binding for binding in bindings)
        with self._kept.lock:
            current = self._kept.find(by_id(resource)) or _UNSET
            if policy.get("etag"):
                if _canonical(policy["etag"]) != _canonical(current["etag"]):
                    raise aborted(_CONCURRENT)
                _check_not_lowered(version, current.get("version", 1))
            if conditional:
                _check_has_conditions(version)
            changed: Json = {
                "version": _CONDITIONAL if conditional else 1,
                "etag": base64.b64encode(secrets.token_bytes(8)).decode(),
            }
            self._put(by_id(resource), changed | ({"bindings": bindings} if bindings else {}))
            return self.get(resource)

    def grant(self, resource: str, role: str, member: str, condition: Json | None = None) -> None:
        """Add one member to a policy, without any check."""
        with self._kept.lock:
            policy = self._kept.find(by_id(resource)) or _UNSET
            added: Json = {"role": role, "members": [member]} | (
                {"condition": condition} if condition else {}
            )
            bindings = _joined([*policy.get("bindings", ()), added])
            version = _CONDITIONAL if condition else policy.get("version", 1)
            etag = base64.b64encode(secrets.token_bytes(8)).decode()
            self._put(by_id(resource), {"version": version, "etag": etag, "bindings": bindings})

    def remove(self, resource: str) -> None:
        """Delete a resource's policy; no effect if it has none."""
        self._kept.remove(by_id(resource))
        self._compiled.pop(by_id(resource), None)

    def rename(self, member: str, new: str) -> None:
        """Give a member another name in all policies, as for a deleted account."""
        with self._kept.lock:
            for name, policy in self._kept.items():
                bindings = policy.get("bindings", ())
                if any(member in binding["members"] for binding in bindings):
                    renamed = [
                        {**each, "members": [new if one == member else one for one in each["members"]]}
                        for each in bindings
                    ]
                    self._put(name, {**policy, "bindings": renamed})

    def roles(self, members: tuple[str, ...], resource: str) -> Iterator[str]:
        """Yield the roles that any of the members has on a resource, by its own policy and those of its parents."""
        seen: Resource | None = None
        for place in _places(resource):
            bound = self._compiled.get(place)
            if bound is None:
                continue
            for member in members:
                for each in bound.get(member, ()):
                    if each.condition is not None:
                        seen = seen or described(resource)
                        if not each.condition(seen):
                            continue
                    yield each.role

    def _put(self, name: str, policy: Json) -> None:
        ready = _compiled(policy)  # first: a policy that cannot be compiled must not be kept
        self._kept.put(name, policy)
        self._compiled[name] = ready

    def _merged(self, policy: Json) -> list[Json]:
        """Return the bindings, one for each role and condition, in the order of roles."""
        for binding in policy.get("bindings") or ():
            role = binding.get("role") or ""
            if "_withcond_" in role:
                raise invalid(f"Role {role} is not supported for this resource.")
            self._check_role(role)
            for member in binding.get("members") or ():
                check_form(member)
                self._check_member(member)
            if binding.get("condition"):
                _check_conditional(binding)
        bindings = _joined(policy.get("bindings") or ())
        _check_number(bindings)
        return bindings


def check_version(version: int) -> None:
    """Raise `ApiError` 400 unless a policy can have the version."""
    if version not in _VERSIONS:
        raise invalid(f"Invalid policy version {version}: valid values are 0, 1 and 3.")


def check_form(member: str) -> None:
    """Raise `ApiError` 400 unless a member has one of Google's forms."""
    if member not in (ANYONE, EVERYONE) and not (
        _MEMBER.fullmatch(member) or _BASIC_MEMBER.fullmatch(member)
    ):
        raise invalid(
            f"The member {member} is of an unknown type. Please set a valid type prefix for the member."
        )


def described(resource: str) -> Resource:
    """Return the attributes of a resource that conditions see."""
    collection, place = _collection(resource)
    kind = _TYPES.get(collection, "")
    if kind.startswith("secretmanager."):
        place = place.replace(f"projects/{PROJECT}/", f"projects/{PROJECT_NUMBER}/", 1)
    return Resource(place if kind else "", kind)


def _collection(resource: str) -> tuple[str, str]:
    if resource.startswith("projects/_/buckets/"):
        return ("objects" if resource.count("/") > 3 else "buckets"), resource  # noqa: PLR2004  projects/_/buckets/B
    parts = resource.split("/")
    return (parts[-2] if len(parts) > 1 else ""), resource


def _places(resource: str) -> Iterator[str]:
    """Yield the names of a resource and of everything above it, the project first."""
    parts = resource.split("/")
    if parts[1:3] == ["_", "buckets"]:
        yield f"projects/{PROJECT}"
        yield "/".join(parts[:4])
        return
    for count in range(2, len(parts) + 1):
        yield "/".join(parts[:count])


def _check_not_lowered(version: int, current: int) -> None:
    if version < current == _CONDITIONAL:
        raise invalid(
            f"Specified policy version ({version}) cannot be less than the existing policy version ({current}). "
            + _VERSION_HELP
        )


def _check_has_conditions(version: int) -> None:
    if version < _CONDITIONAL:
        raise invalid(
            f"Specified policy version ({version}) does not support conditional bindings: set version 3. {_VERSION_HELP}"
        )


def _check_conditional(binding: Json) -> None:
    condition = binding["condition"]
    if not condition.get("title"):
        raise invalid("The condition of a binding needs a title.")
    compiled(condition.get("expression") or "")
    if binding["role"] in _BASIC_ROLES:
        raise invalid("Conditions can't be set on primitive roles")
    if {ANYONE, EVERYONE} & set(binding.get("members") or ()):
        raise invalid(f"Conditions can't be set on bindings for {ANYONE} and {EVERYONE}.")


def _check_number(bindings: list[Json]) -> None:
    """Raise `ApiError` 400 for too many conditional bindings of one role and member."""
    conditional = [binding for binding in bindings if "condition" in binding]
    found = Counter((binding["role"], member) for binding in conditional for member in binding["members"])
    for (role, member), number in found.items():
        if number > _MAX_CONDITIONAL:
            raise invalid(
                f"The policy has {number} conditional bindings of the role {role} for {member}: "
                f"at most {_MAX_CONDITIONAL} are allowed."
            )


def _joined(bindings: Any) -> list[Json]:
    found: dict[tuple[str, str], Json] = {}
    for binding in bindings:
        condition = {key: value for key, value in (binding.get("condition") or {}).items() if value}
        key = (binding["role"], json.dumps(condition, sort_keys=True))
        place = found.setdefault(
            key, {"role": key[0], "members": []} | ({"condition": condition} if condition else {})
        )
        place["members"] = sorted({*place["members"], *(binding.get("members") or ())})
    return [binding for _, binding in sorted(found.items()) if binding["members"]]


def _compiled(policy: Json) -> Mapping[str, tuple[_Bound, ...]]:
    found: dict[str, tuple[_Bound, ...]] = {}
    for binding in policy.get("bindings", ()):
        condition = binding.get("condition")
        bound = _Bound(binding["role"], compiled(condition["expression"]) if condition else None)
        for member in binding["members"]:
            found[member] = (*found.get(member, ()), bound)
    return found


def _plain(binding: Json) -> Json:
    condition = binding.get("condition")
    if condition is None:
        return binding
    digest = hashlib.sha256(json.dumps(condition, sort_keys=True).encode()).hexdigest()[:20]
    return {"role": f"{binding['role']}_withcond_{digest}", "members": binding["members"]}


def _canonical(etag: str) -> str:
    return etag.replace("-", "+").replace("_", "/").rstrip("=")
