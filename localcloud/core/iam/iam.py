"""Tokens and permission checks. Tokens live in memory and on real time; a restart makes clients fetch new ones."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core.caller import ANONYMOUS, CLOUD_PLATFORM, OWNER, OWNER_ADDRESS, Caller
from localcloud.core.errors import ApiError, forbidden, invalid, unauthenticated
from localcloud.core.iam.accounts import Accounts
from localcloud.core.iam.policies import ANYONE, Policies
from localcloud.core.iam.profile import EVERY_BUCKET, Profile
from localcloud.core.iam.project import EVERYONE, PROJECT, by_id, email, is_agent
from localcloud.core.iam.roles import Roles
from localcloud.core.kept import Kept
from localcloud.core.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIFETIME = 3600.0
# A metadata server returns the same token until it has nearly expired.
_RENEW_BEFORE = 300.0

_UNKNOWN_CALLER = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_NO_CALLER = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other "
    "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_OUT_OF_SCOPE = "Request had insufficient authentication scopes."


@dataclass(frozen=True)
class _Token:
    text: str
    caller: Caller
    expires: float


class Iam:
    """Accounts, their tokens, roles and policies; and the check of every call against them.

    Resources are named "projects/P", "projects/P/zones/Z/instances/I", "projects/_/buckets/B",
    "projects/_/buckets/B/objects/O", "projects/P/secrets/S/versions/V", "projects/P/topics/T",
    "projects/P/locations/L/jobs/J" (functions, services and repositories likewise) and
    "projects/P/serviceAccounts/EMAIL", P being the project's id or number. Listing objects is asked of the bucket.

    `folder` keeps accounts, roles and policies over a restart. They are the profile's at the first start. Accounts of
    Google's that the profile's grants name exist at each start.
    """

    def __init__(self, profile: Profile, specs: Sequence[Spec], folder: Path | None = None) -> None:
        def kept(name: str) -> Kept:
            return Kept(folder / f"{name}.json" if folder else None)

        self._specs = {spec.permissions: spec for spec in specs}
        self._profile = profile
        self.default_account = profile.default_address
        self.accounts = Accounts(kept("accounts"))
        self.roles = Roles(kept("roles"))
        self._agents = kept("agents")
        for address in sorted({grant.account for grant in profile.grants if is_agent(grant.account)}):
            self.make_agent(address)
        self.policies = Policies(kept("policies"), self.roles.check, self._check_member)
        if not self.policies.names():
            self._start()
        self.owner_token = _secret()
        self._tokens = {self.owner_token: _Token(self.owner_token, OWNER, float("inf"))}
        self._lock = threading.Lock()

    def grant_on_bucket(self, bucket: str) -> None:
        """Make the profile's grants on a new bucket, those below its prefixes too."""
        self._grant_bucket({"BUCKET": bucket}, of_a_prefix=False)
        for prefix in self._profile.prefixes:
            self.grant_below(bucket, prefix)

    def grant_below(self, bucket: str, prefix: str) -> None:
        """Make the profile's grants on the objects of a bucket whose names begin with a prefix and a slash."""
        self._grant_bucket({"BUCKET": bucket, "PREFIX": prefix}, of_a_prefix=True)

    def make_agent(self, address: str) -> None:
        """Make an account of Google's that one of its services acts as in the project, if it is missing."""
        if self._agents.find(address) is None:
            self._agents.put(address, {})

    def token(self, address: str, scopes: Sequence[str] = (CLOUD_PLATFORM,), vm: str = "") -> tuple[str, int]:
        """Return an access token of an account, and the seconds that it is still valid (real time).

        `vm` is the path of the instance that asks, "" for any other process.
        """
        caller = Caller(address, tuple(scopes), vm)
        now = time.monotonic()
        with self._lock:
            self._tokens = {text: token for text, token in self._tokens.items() if token.expires > now}
            for token in self._tokens.values():
                if token.caller == caller and _RENEW_BEFORE < token.expires - now <= _LIFETIME:
                    return token.text, int(token.expires - now)
            text = _secret()
            self._tokens[text] = _Token(text, caller, now + _LIFETIME)
        return text, int(_LIFETIME)

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller of an Authorization header, `ANONYMOUS` without one.

        Raise `ApiError` 401 for an unknown token.
        """
        if authorization is None:
            return ANONYMOUS
        kind, _, text = authorization.partition(" ")
        with self._lock:
            token = self._tokens.get(text.strip())
        if kind.lower() != "bearer" or token is None or token.expires <= time.monotonic():
            raise unauthenticated(_UNKNOWN_CALLER, "ACCESS_TOKEN_EXPIRED")
        return token.caller

    def check_known(self, caller: Caller) -> None:
        """Raise `ApiError` 401 unless the call had a token."""
        if caller == ANONYMOUS:
            raise unauthenticated(_NO_CALLER, "CREDENTIALS_MISSING")

    def allowed(self, caller: Caller, permission: str, resource: str) -> bool:
        """True if the caller's roles include a permission on a resource. The token's scopes are not checked."""
        roles = self.policies.roles(_members(caller.email), by_id(resource))
        return any(self.roles.includes(role, permission) for role in roles)

    def require(self, caller: Caller, permission: str, resource: str, *, shown: str | None = None) -> None:
        """Raise a 403 in the words of the service concerned unless the caller has the permission.

        `shown` is the request's own name of the resource, if it differs from `resource`.
        """
        if caller != ANONYMOUS and CLOUD_PLATFORM not in caller.scopes:
            raise forbidden(_OUT_OF_SCOPE, reason="insufficientPermissions")
        if not self.allowed(caller, permission, resource):
            raise self._denied(caller, permission, shown or resource)

    def authorize(self, caller: Caller, permission: str, resource: str) -> str:
        """Return the name of a resource of the project, with the project's id.

        Raise `ApiError` 403 without the permission, and for any resource of another project.
        """
        name = by_id(resource)
        self.require(caller, permission, name, shown=resource)
        if name.split("/")[1:2] != [PROJECT]:
            raise self._denied(caller, permission, resource)
        return name

    def _start(self) -> None:
        """Make the profile's accounts, roles and grants; those on buckets follow with each bucket."""
        for account in self._profile.accounts:
            self.accounts.make(account, {})
        for name, permissions in self._profile.roles.items():
            self.roles.put(
                {"name": name, "title": name.rpartition("/")[2], "includedPermissions": sorted(permissions)}
            )
        for grant in self._profile.grants:
            if grant.on != EVERY_BUCKET:
                self.policies.grant(grant.on, grant.role, grant.member, grant.binding({}))

    def _grant_bucket(self, values: Mapping[str, str], *, of_a_prefix: bool) -> None:
        for grant in self._profile.grants:
            if grant.on == EVERY_BUCKET and grant.is_of_a_prefix == of_a_prefix:
                on = grant.on.replace("BUCKET", values["BUCKET"])
                self.policies.grant(on, grant.role, grant.member, grant.binding(values))

    def _check_member(self, member: str) -> None:
        """Raise `ApiError` 400 for an account of the project, or of Google's for the project, that does not exist."""
        kind, _, address = member.partition(":")
        ours = address.endswith(email("")) or is_agent(address)
        known = {*self.accounts.addresses(), *self._agents.names()}
        if kind == "serviceAccount" and ours and address not in known:
            raise invalid(f"Service account {address} does not exist.")

    def _denied(self, caller: Caller, permission: str, resource: str) -> ApiError:
        spec = self._specs.get(permission.partition(".")[0])
        if spec is None or spec.denied is None:
            return forbidden(
                f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
            )
        return spec.denied(caller, permission, resource)


def _secret() -> str:
    return f"ya29.local-{secrets.token_urlsafe(24)}"


@lru_cache(maxsize=1024)
def _members(address: str | None) -> tuple[str, ...]:
    """Return the ways in which a policy can name a caller."""
    if address is None:
        return (ANYONE,)
    kind = "user" if address == OWNER_ADDRESS else "serviceAccount"
    return f"{kind}:{address}", EVERYONE, ANYONE
